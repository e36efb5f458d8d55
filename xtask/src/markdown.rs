//! What is read of Markdown: prose, links, headings, blocks of code.

/// A fenced block of code.
#[derive(Debug, PartialEq)]
pub(crate) struct Block<'a> {
    /// What stands behind the opening fence: the language, or nothing.
    pub(crate) language: &'a str,
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// Its lines.
    pub(crate) lines: Vec<&'a str>,
}

/// The lines outside of fenced code, numbered from 1.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((index + 1, line))
    })
}

/// The fenced blocks of code.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut found, mut open) = (Vec::new(), None::<Block>);
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => found.push(block),
            (Some(language), None) => {
                open = Some(Block { language: language.trim(), line: index + 2, lines: Vec::new() });
            }
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    found
}

/// The targets of `[text](target)` and `![text](target)`.
pub(crate) fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|target| target.trim())
}

/// The code between backticks of a line.
pub(crate) fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What links to the headings of a page are called: as GitHub does, words in lower case with hyphens between them, and a number behind
/// a name that was there before.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let Some(heading) = line[level..].strip_prefix(' ').filter(|_| (1..=6).contains(&level)) else {
            continue;
        };
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let name = |count: usize| if count == 0 { anchor.clone() } else { format!("{anchor}-{count}") };
        let free = (0..).map(name).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_not_prose() {
        let text = "a\n```sh\nb `c`\n```\nd";
        assert_eq!(prose(text).collect::<Vec<_>>(), [(1, "a"), (5, "d")]);
        assert_eq!(blocks(text), [Block { language: "sh", line: 3, lines: vec!["b `c`"] }]);
    }

    #[test]
    fn headings_are_anchors() {
        let text = "# Left atrium, profile quick, 8 labels\n## `tandem` beside 1.5 mm\n## Twice\n## Twice\n```\n# no\n```\n#no";
        let expected = ["left-atrium-profile-quick-8-labels", "tandem-beside-15-mm", "twice", "twice-1"];
        assert_eq!(anchors(text), expected);
    }
}
