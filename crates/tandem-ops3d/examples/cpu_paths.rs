//! The code paths of this processor, narrowest first, one a line: what `TANDEM_CPU` can force here.

use tandem_ops3d::CpuPath;

fn main() {
    for path in CpuPath::ALL.into_iter().filter(|path| *path <= CpuPath::widest()) {
        println!("{}", path.name());
    }
}
