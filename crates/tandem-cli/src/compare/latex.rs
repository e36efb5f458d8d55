//! `comparison.tex`: the tables of means for a paper. They need the package booktabs.

use super::shown::{factor, heading, interval, mean_and_sd, network, p_value, tables};
use super::{Comparison, Line};
use std::fmt::Write;
use tandem_training::TABLE_COLUMNS;

pub(super) fn text(comparison: &Comparison) -> String {
    let mut text =
        String::from("% Needs \\usepackage{booktabs}. Mean and SD over runs; interval over cases.\n");
    for table in tables(comparison) {
        let _ = write!(
            text,
            "\n% {}\n\\begin{{tabular}}{{llr{}lr}}\n\\toprule\nNetwork & Method & Runs",
            escaped(&heading(comparison, table[0])),
            "r".repeat(TABLE_COLUMNS.len())
        );
        for (heading, ..) in TABLE_COLUMNS {
            let _ = write!(text, " & {}", escaped(heading));
        }
        text += " & Dice, 95\\,\\% interval & $p$ (Dice) \\\\\n\\midrule\n";
        for (at, line) in table.iter().enumerate() {
            if at > 0 && network(table[at - 1]) != network(line) {
                text += "\\addlinespace\n";
            }
            row(&mut text, comparison, line);
        }
        text += "\\bottomrule\n\\end{tabular}\n";
    }
    text
}

fn row(text: &mut String, comparison: &Comparison, line: &Line) {
    let _ = write!(text, "{} & {} & {}", escaped(&network(line)), escaped(&line.method), line.runs);
    for (_, metric, unit, _) in TABLE_COLUMNS {
        let found = comparison.beside(line, &line.method, metric, unit);
        let cell = found.map_or_else(|| "--".to_owned(), |line| mean_and_sd(line).replace(" ± ", " $\\pm$ "));
        let _ = write!(text, " & {cell}");
    }
    let p = line.against.as_ref().map_or_else(|| "--".to_owned(), |found| p_value(found.p_holm));
    // Brackets after a line's end would be taken for its argument.
    let _ =
        writeln!(text, " & {{{}}} & {} \\\\", interval(line.interval, factor(line)), p.replace("< ", "$<$"));
}

/// With what LaTeX takes for commands made harmless.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_no_commands() {
        assert_eq!(escaped("a_b 50 % \\x"), "a\\_b 50 \\% \\textbackslash{}x");
    }
}
