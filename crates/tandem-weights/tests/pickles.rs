//! Pickles that would do harm elsewhere. A pickle is a program; none of these gets further than a sentence.

use crate::archive::{Entry, archive, file};
use crate::pickle::{dict, four, int, ints, ordered, storage, tensor, text, tuple, whole};
use std::path::Path;
use tandem_weights::of_bytes;

/// Reads a file with this pickle, which must be refused with the reason.
fn refused(what: &str, pickle: &[u8], reason: &str) {
    let message = of_bytes(Path::new("evil.pth"), &file(pickle)).expect_err(what).to_string();
    assert!(message.starts_with("evil.pth: "), "{what}: {message}");
    assert!(message.contains(reason), "{what}: no {reason:?} in {message:?}");
    assert!(!message.contains('\n'), "{what}: {message}");
}

/// A call of a global with one text.
fn call(global: &str, argument: &str) -> Vec<u8> {
    whole(&[format!("c{global}\n").as_bytes(), &text(argument), b"\x85R"].concat())
}

#[test]
fn nothing_but_tensors_and_containers_is_called() {
    for global in [
        "posix\nsystem",
        "os\nsystem",
        "nt\nsystem",
        "builtins\neval",
        "__builtin__\nexec",
        "subprocess\nPopen",
        "importlib\nimport_module",
        "torch\nload",
        "torch.hub\nload",
        "torch.storage\n_load_from_bytes",
        "torch._utils\n_rebuild_tensor",
        "torch.nn.modules.conv\nConv3d",
        "numpy.core.multiarray\n_reconstruct",
        "collections\ndefaultdict",
        "builtins\ngetattr",
        "torch\nUntypedStorage",
    ] {
        let reason =
            format!("names {:?}, which is neither a tensor nor a container", global.replace('\n', "."));
        refused(global, &call(global, "touch /tmp/pwned"), &reason);
    }
}

#[test]
fn no_other_opcode_runs() {
    for (what, code) in [
        ("INST", &b"(X\0\0\0\0iposix\nsystem\n"[..]),
        ("OBJ", b"(ccollections\nOrderedDict\no"),
        ("NEWOBJ", b"ccollections\nOrderedDict\n)\x81"),
        ("NEWOBJ_EX", b"ccollections\nOrderedDict\n)}\x92"),
        ("STACK_GLOBAL", b"X\x05\0\0\0posixX\x06\0\0\0system\x93"),
        ("EXT1", b"\x82\x01"),
        ("EXT4", b"\x84\x01\0\0\0"),
        ("PERSID", b"Pstorage\n"),
        ("STRING", b"S'a'\n"),
        ("INT", b"I12\n"),
        ("LONG4", b"\x8b\xff\xff\xff\x7f"),
        ("BINUNICODE8", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("FRAME", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("NEXT_BUFFER", b"\x97"),
        ("DUP", b"]2"),
        ("POP_MARK", b"(1"),
    ] {
        refused(what, &whole(code), "holds the opcode 0x");
    }
}

#[test]
fn calls_are_those_of_torch_save_or_none() {
    let no_call = "calls what is neither OrderedDict() nor _rebuild_tensor_v2";
    refused("a text that is called", &whole(&[text("os.system"), b")R".to_vec()].concat()), no_call);
    refused("a storage that is called", &whole(b"ctorch\nFloatStorage\n)R"), no_call);
    let with_pairs =
        [b"ccollections\nOrderedDict\n".to_vec(), tuple(&[b"]".to_vec()]), b"R".to_vec()].concat();
    refused("an OrderedDict of pairs", &whole(&with_pairs), no_call);
    refused("arguments that are no tuple", &whole(b"ccollections\nOrderedDict\n]R"), "with what is no tuple");
    refused(
        "a state of a tensor",
        &whole(&[four(), b"}b".to_vec()].concat()),
        "gives a state to what is no dictionary",
    );
    refused("a state that is no dictionary", &whole(&[ordered(), b"]b".to_vec()].concat()), "gives a state");
    let hooks = [b"}(".to_vec(), int(1), b"]u".to_vec()].concat();
    let arguments = [storage("0", 4), int(0), ints(&[4]), ints(&[1]), vec![0x88], hooks];
    let hooked = [b"ctorch._utils\n_rebuild_tensor_v2\n", &tuple(&arguments)[..], b"R"].concat();
    refused("a tensor with hooks", &whole(&hooked), "one with hooks");
    let short = [b"ctorch._utils\n_rebuild_tensor_v2\n", &tuple(&[storage("0", 4)])[..], b"R"].concat();
    refused("a tensor of one part", &whole(&short), "makes a tensor of 1 parts, not of 6");
}

#[test]
fn tensors_stay_within_their_storage() {
    let of = |offset, shape: &[i64], strides: &[i64]| whole(&tensor(storage("0", 4), offset, shape, strides));
    let more = "more than its storage of 4 values";
    refused("one value for 2^40", &of(0, &[1 << 40], &[0]), more);
    refused("one value for five", &of(0, &[5], &[0]), more);
    refused("a row too many", &of(0, &[3, 2], &[2, 1]), more);
    refused("an offset beyond", &of(1, &[4], &[1]), more);
    refused("a shape beyond all numbers", &of(0, &[1 << 62, 1 << 62], &[1, 1]), "beyond all numbers");
    refused("strides beyond all numbers", &of(0, &[4], &[i64::MAX]), "beyond all numbers");
    refused("a stride backwards", &of(3, &[4], &[-1]), "negative size, stride or offset");
    refused("a side of less than nothing", &of(0, &[-4], &[1]), "negative size, stride or offset");
    refused("shape and strides that differ", &of(0, &[2, 2], &[1]), "has shape [2, 2] and strides [1]");
    refused("nine sides", &of(0, &[1; 9], &[1; 9]), "has shape");
    let claims = "claims a storage of 1099511627776 values, whose entry has 16 bytes";
    refused("a storage that lies", &whole(&tensor(storage("0", 1 << 40), 0, &[4], &[1])), claims);
    refused("a storage of less than nothing", &whole(&storage("0", -4)), "less than no values");
    for key in ["../../../etc/passwd", "/etc/passwd", "1"] {
        let missing = whole(&tensor(storage(key, 4), 0, &[4], &[1]));
        refused("a storage elsewhere", &missing, "which is not there");
    }
    // Each of them is sound; together they are a thousand times the file.
    let names: Vec<_> = (0..1000).map(|index| index.to_string()).collect();
    let copies: Vec<_> = names.iter().map(|name| (name.as_str(), again())).collect();
    let all = tuple(&[b"ctorch._utils\n_rebuild_tensor_v2\nq\x01".to_vec(), arguments(), dict(&copies)]);
    let bytes = archive(&[Entry::new("a/data.pkl", &whole(&all)), Entry::new("a/data/0", &[0; 4096])]);
    let message = of_bytes(Path::new("evil.pth"), &bytes).unwrap_err().to_string();
    assert!(message.contains("take more bytes than the file has"), "{message}");
}

/// Leaves the arguments of a tensor of 1,024 values in the memo.
fn arguments() -> Vec<u8> {
    let arguments = [storage("0", 1024), int(0), ints(&[1024]), ints(&[1]), vec![0x89], ordered()];
    [tuple(&arguments), b"q\x02".to_vec()].concat()
}

/// Makes a tensor of what the memo holds.
fn again() -> Vec<u8> {
    b"h\x01h\x02R".to_vec()
}

#[test]
fn sizes_that_lie_take_no_memory() {
    refused("a text of 4 GiB", &whole(b"X\xff\xff\xff\xffab"), "is cut short");
    refused("a number of 255 bytes", &whole(&[&b"\x8a\xff"[..], &[1; 255]].concat()), "more than 64 bits");
    refused("a memo that was not made", &whole(b"j\xff\xff\xff\xff"), "refers to a value that was not made");
    // A memo of 2^32 places costs one.
    let memo = whole(&[&four()[..], b"r\xff\xff\xff\xff0"].concat());
    refused("a pop", &memo, "holds the opcode 0x30");
    refused("five million lists", &whole(&vec![b']'; 5 << 20]), "more than any state dict needs");
    let long = text(&"n".repeat(2000));
    refused(
        "a long name",
        &whole(&[b"}".to_vec(), long, four(), b"s".to_vec()].concat()),
        "a name of more than 1024 bytes",
    );
}

#[test]
fn containers_within_each_other_end() {
    refused("a list that holds itself", &whole(b"]q\0h\0a"), "holds no tensor");
    let deep = [vec![b']'; 100_000], vec![b'a'; 99_999]].concat();
    refused("a hundred thousand lists", &whole(&deep), "more than 16 containers within each other");
    // Fourteen dictionaries, each of them twice in the next: 16,384 paths, and each is entered once.
    let mut laughs = b"}q\0".to_vec();
    for level in 1..=14u8 {
        let pair = [text("a"), vec![b'h', level - 1], text("b"), vec![b'h', level - 1]].concat();
        laughs = [laughs, b"}q".to_vec(), vec![level], b"(".to_vec(), pair, b"u".to_vec()].concat();
    }
    let all: Vec<u8> = [b"(".to_vec(), laughs, b"t".to_vec()].concat();
    refused("many paths", &whole(&all), "holds no tensor");
    let twice = [b"}(".to_vec(), text("w"), four(), text("w"), four(), b"u".to_vec()].concat();
    refused("a name that is there twice", &whole(&twice), "is there twice");
}

#[test]
fn a_stack_that_is_not_there_is_noticed() {
    for code in [&b"a"[..], b"R", b"Q", b"s", b"b", b"q\0", b"\x85", b"(\x85", b"](a", b"}N(s"] {
        refused("too few values", &whole(code), "takes more from its stack than there is");
    }
    refused("nothing at all", &whole(b""), "takes more from its stack than there is");
    for code in [&b"t"[..], b"e", b"u"] {
        refused("no mark", &whole(code), "closes a mark that was not set");
    }
    refused("a list for a dictionary", &whole(b"]NNs"), "sets items of what is no dictionary");
    refused("half a pair", &whole(b"}(Nu"), "sets items of what is no dictionary");
    refused("a dictionary for a list", &whole(b"}Na"), "appends to what is no list");
    refused("a second pickle", &whole(b"N.N"), "goes on after its end");
    refused("two values", &whole(b"NN"), "goes on after its end");
    refused("no end", b"\x80\x02N", "is cut short");
    refused("no version", b"N.", "does not begin with its version");
    refused("another version", b"\x80\x04N.", "has version 4");
    refused("two versions", &whole(b"\x80\x02N"), "says its version twice");
    refused("text that is no text", &whole(b"X\x01\0\0\0\xff"), "no UTF-8");
    let pair = tuple(&[text("storage"), text("0")]);
    refused(
        "a storage of two parts",
        &whole(&[pair, b"Q".to_vec()].concat()),
        "names a storage in another way",
    );
    refused("a storage by a text", &whole(&[text("0"), b"Q".to_vec()].concat()), "by what is no tuple");
}
