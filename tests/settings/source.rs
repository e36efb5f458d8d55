//! What a source file says of the fields of a structure and of the values of an enumeration.

/// The text of a source file, formatted as rustfmt does.
#[derive(Clone, Copy)]
pub(super) struct Source(pub(super) &'static str);

/// A field.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What it is, on one line.
    pub(super) doc: String,
    pub(super) unit: Option<String>,
    pub(super) range: Option<String>,
}

/// A type as it is written.
pub(super) struct Kind(pub(super) String);

impl Kind {
    /// Without `Option`.
    pub(super) fn name(&self) -> &str {
        self.0.strip_prefix("Option<").and_then(|inner| inner.strip_suffix('>')).unwrap_or(&self.0)
    }

    pub(super) fn is_optional(&self) -> bool {
        self.name() != self.0
    }

    /// In words; none for an enumeration.
    pub(super) fn described(&self) -> Option<&'static str> {
        Some(match self.name() {
            "f64" => "number",
            "u32" | "u64" | "usize" => "whole number",
            "bool" => "true or false",
            "String" => "text",
            "[f64; 2]" => "two numbers",
            "[f64; 3]" => "three numbers",
            "[usize; 3]" => "three whole numbers",
            "Vec<f64>" => "numbers",
            "Vec<usize>" => "whole numbers",
            "Vec<String>" => "texts",
            "Names" => "whole number, or texts",
            "CaseList" => "whole number, or texts",
            "Augmentation" => "name of a preset, or table",
            "serde_json::Map<String, serde_json::Value>" => "table",
            _ => return None,
        })
    }
}

impl Source {
    /// The public fields of a structure; panics where there is none of that name.
    pub(super) fn fields(self, structure: &str) -> Vec<Field> {
        let (_, body) = self.body("struct", structure).unwrap_or_else(|| panic!("no structure {structure}"));
        documented(body)
            .filter_map(|(docs, item)| {
                let item = item.strip_prefix("pub(crate) ").or(item.strip_prefix("pub "))?;
                let (name, kind) = item.trim_end_matches(',').split_once(": ")?;
                let (doc, range) = taken(&docs, "Range: ");
                let (doc, unit) = taken(&doc, "Unit: ");
                Some(Field { name: name.to_owned(), kind: Kind(kind.to_owned()), doc, unit, range })
            })
            .collect()
    }

    /// The values of an enumeration as settings name them, and what each is; empty where there is none of that name.
    pub(super) fn variants(self, enumeration: &str) -> Vec<(String, String)> {
        let Some((attributes, body)) = self.body("enum", enumeration) else { return Vec::new() };
        let hyphen = if attributes.contains("kebab-case") { "-" } else { "" };
        documented(body).map(|(docs, item)| (renamed(item.trim_end_matches(','), hyphen), docs)).collect()
    }

    /// The attributes before an item, and the lines between its braces.
    fn body(self, keyword: &str, name: &str) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.0.split_once(&format!("{keyword} {name} {{"))?;
        let attributes = before.rfind("\n\n").map_or(before, |start| &before[start..]);
        // A structure without fields ends on its own line.
        let end = if rest.starts_with('}') { 0 } else { rest.find("\n}")? };
        Some((attributes, &rest[..end]))
    }
}

/// Items with the text of their comments.
fn documented(body: &'static str) -> impl Iterator<Item = (String, &'static str)> {
    let mut docs: Vec<&str> = Vec::new();
    body.lines().map(str::trim).filter_map(move |line| match line.strip_prefix("///") {
        Some(doc) => {
            docs.push(doc.trim());
            None
        }
        None if line.is_empty() || line.starts_with('#') => None,
        None => Some((plain(&std::mem::take(&mut docs).join(" ")), line)),
    })
}

/// A text without the links of rustdoc, on one line that may stand in a table.
fn plain(text: &str) -> String {
    let mut text =
        text.split_whitespace().collect::<Vec<_>>().join(" ").replace("Self::", "").replace('|', "\\|");
    while let Some(start) = text.find("[`") {
        let Some(length) = text[start..].find("`]") else { break };
        let end = start + length + 2;
        let target = text[end..].starts_with('(').then(|| text[end..].find(')')).flatten();
        let inner = text[start + 1..end - 1].to_owned();
        text.replace_range(start..target.map_or(end, |target| end + target + 1), &inner);
    }
    text
}

/// A text without one of its sentences, and what stands in that one behind its first words.
fn taken(text: &str, words: &str) -> (String, Option<String>) {
    let Some(start) = text.find(words) else { return (text.to_owned(), None) };
    let rest = &text[start + words.len()..];
    let end = rest.find(". ").unwrap_or(rest.trim_end_matches('.').len());
    let kept = format!("{}{}", &text[..start], rest[end..].trim_start_matches(['.', ' ']));
    (kept.trim().to_owned(), Some(rest[..end].to_owned()))
}

/// `LikeThis` as `like-this`, or with another sign between.
fn renamed(variant: &str, between: &str) -> String {
    let mut name = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push_str(between);
        }
        name.extend(c.to_lowercase());
    }
    name
}

#[test]
fn fields_and_values_are_read_with_unit_and_range() {
    let source = Source(
        "#[serde(rename_all = \"kebab-case\")]\npub enum Choice {\n    /// One.\n    OneOf,\n}\n\n/// All.\npub struct All {\n    /// What\n    \
         /// [`it`](x::it) is.\n    ///\n    /// Unit: mm. Range: 0.5 to 1, rising.\n    #[serde(default)]\n    pub side: Option<[f64; 2]>,\n}\n",
    );
    let [field] = source.fields("All").try_into().ok().unwrap();
    assert_eq!(
        (field.name.as_str(), field.kind.name(), field.kind.is_optional()),
        ("side", "[f64; 2]", true)
    );
    assert_eq!(field.doc, "What `it` is.");
    assert_eq!((field.unit.as_deref(), field.range.as_deref()), (Some("mm"), Some("0.5 to 1, rising")));
    assert_eq!(source.variants("Choice"), [("one-of".to_owned(), "One.".to_owned())]);
}
