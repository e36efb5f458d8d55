//! Text and bytes as parts of an HTML file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Text in a place of HTML or SVG where it is nothing but text: between tags, or in a quoted attribute. All text that comes from
/// data goes through here: a case may be called `<script>`.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What HTML does not allow: a character of control, or half of a pair.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Bytes as text.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A number with as many digits as people read: four that count, and no zeros behind them.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..6).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = (3 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_tag_or_attribute() {
        let hostile = "<script>alert('1')</script> \" onload=\"x & y\u{0}";
        let safe = escaped(hostile);
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{0}']), "{safe}");
        assert_eq!(escaped("a & b"), "a &amp; b");
        assert_eq!(escaped("Müller, 3 µm"), "Müller, 3 µm");
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be_read() {
        let read = [0.0, 1.0, 0.5, 12.3456, 1234.5, 100.0, 0.000_123_4, 1e-9, 2e7, -3.25].map(short);
        let expected = ["0", "1", "0.5", "12.35", "1234", "100", "0.0001234", "1.00e-9", "2.00e7", "-3.25"];
        assert_eq!(read, expected);
        assert_eq!(base64(b"abcd"), "YWJjZA==");
    }
}
