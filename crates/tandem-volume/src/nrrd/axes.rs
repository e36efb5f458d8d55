//! Which axes of a NRRD file are those of space, and which one holds channels.
use super::fields::Fields;
use crate::Result;
use crate::stored::Order;
use crate::text_header::numbers;

/// The axes of a file: three of space in their order, and perhaps one of channels before or behind them.
pub(super) struct Axes {
    channels: Option<Order>,
}

impl Axes {
    /// Looks at `dimension`, and where there is a fourth axis, at `kinds` or else at `space directions`.
    pub(super) fn of(fields: &Fields) -> Result<Self> {
        let kinds: Option<Vec<&str>> = fields.get("kinds").map(|kinds| kinds.split_whitespace().collect());
        let spatial = |kind: &&str| ["domain", "space", "none", "???"].contains(kind);
        match fields.need("dimension")? {
            "3" if kinds.as_ref().is_none_or(|kinds| kinds.iter().all(spatial)) => Ok(Axes { channels: None }),
            "3" => Err(fields.error(format!(
                "kinds is {:?}, but all three axes must be of space; extract the volume you mean",
                fields.get("kinds").unwrap_or_default()
            ))),
            "4" => {
                let named = |kind: &&str| !["domain", "space"].contains(kind);
                let of_channels = match (&kinds, fields.get("space directions")) {
                    (Some(kinds), _) => kinds.iter().map(named).collect(),
                    (None, Some(directions)) => {
                        directions.split_whitespace().map(|vector| vector == "none").collect()
                    }
                    (None, None) => Vec::new(),
                };
                match of_channels[..] {
                    [true, false, false, false] => Ok(Axes { channels: Some(Order::Interleaved) }),
                    [false, false, false, true] => Ok(Axes { channels: Some(Order::Planar) }),
                    _ => Err(fields.error(
                        "of the 4 dimensions, the first or the last must hold the channels, and `kinds` must say so (such as \
                         `vector domain domain domain`); correct the header, or extract the volume you mean",
                    )),
                }
            }
            other => Err(fields.error(format!(
                "the grid has {other} dimensions, but 3, or 4 with channels, are read; extract the volume you mean"
            ))),
        }
    }

    /// Field `sizes`: voxels along i, j, k, and the channels.
    pub(super) fn sides(&self, fields: &Fields) -> Result<([usize; 3], (usize, Order))> {
        let sizes = fields.need("sizes")?;
        let sides = match self.channels {
            None => numbers(sizes).map(|[i, j, k]| ([i, j, k], (1, Order::Planar))),
            Some(Order::Planar) => numbers(sizes).map(|[i, j, k, c]| ([i, j, k], (c, Order::Planar))),
            Some(Order::Interleaved) => {
                numbers(sizes).map(|[c, i, j, k]| ([i, j, k], (c, Order::Interleaved)))
            }
        };
        sides.filter(|(shape, (channels, _))| !shape.contains(&0) && *channels > 0).ok_or_else(|| {
            let count = if self.channels.is_some() { "four" } else { "three" };
            fields.error(format!(
                "sizes is {sizes:?}, but {count} positive numbers are needed; correct the header"
            ))
        })
    }

    /// A field with one entry an axis, without that of the channels.
    pub(super) fn of_space(&self, entries: &str) -> String {
        let entries = entries.trim();
        let without = match self.channels {
            None => None,
            Some(Order::Interleaved) => entries.split_once(char::is_whitespace).map(|(_, rest)| rest),
            Some(Order::Planar) => entries.rsplit_once(char::is_whitespace).map(|(rest, _)| rest),
        };
        without.unwrap_or(entries).to_owned()
    }
}
