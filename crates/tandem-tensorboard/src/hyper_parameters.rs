//! A run's settings as TensorBoard's hyper-parameters.

use crate::event::Values;
use crate::protobuf::Message;
use serde_json::Value;

const PLUGIN: &str = "hparams";

/// What a run begins with: every setting by its path, such as `training.seed`. What is no number, text or truth value is text.
pub(crate) fn begin(settings: &Value, wall_time: f64) -> Values {
    let mut found = Vec::new();
    flatten("", settings, &mut found);
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut session = Message::new();
    for (name, value) in found {
        session = session.field(1, Message::new().field(1, name).field(2, value));
    }
    let session = session.double(5, wall_time);
    let mut values = Values::default();
    values.plugin("_hparams_/session_start_info", PLUGIN, Message::new().field(3, session));
    values
}

/// What a run ends with.
pub(crate) fn end(wall_time: f64) -> Values {
    const SUCCESS: u64 = 1;
    let session = Message::new().integer(1, SUCCESS).double(2, wall_time);
    let mut values = Values::default();
    values.plugin("_hparams_/session_end_info", PLUGIN, Message::new().field(4, session));
    values
}

fn flatten(name: &str, value: &Value, found: &mut Vec<(String, Message)>) {
    let value = match value {
        Value::Null => return,
        Value::Object(fields) => {
            for (field, value) in fields {
                let path = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&path, value, found);
            }
            return;
        }
        Value::Bool(value) => Message::new().integer(4, (*value).into()),
        Value::Number(value) => Message::new().double(2, value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => Message::new().field(3, value),
        Value::Array(_) => Message::new().field(3, value.to_string()),
    };
    found.push((name.to_owned(), value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::framed;

    #[test]
    fn a_session_begins_and_ends_with_the_bytes_of_tensorboard() {
        let hexadecimal =
            |event: &[u8]| framed(event).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Written by TensorBoard 2.21; protobuf leaves the order of a map's entries open, here they are sorted.
        let expected = concat!(
            "a300000000000000b3c7bf2e09000000000000f83f2a97010a94010a1c5f68706172616d735f2f73657373696f6e5f73746172",
            "745f696e666f42060801120212004a6c0a6a0a0768706172616d73125f1a5d0a170a0c646174612e73706163696e6712071a05",
            "5b312c325d0a140a0b6d6574686f642e6e616d6512051a036d63660a1a0a0d747261696e696e672e7365656412091100000000",
            "00001c400a070a01781202200129000000000000f83f79dc27fd"
        );
        let settings = serde_json::json!({
            "x": true,
            "training": { "seed": 7 },
            "method": { "name": "mcf", "none": null },
            "data": { "spacing": [1, 2] }
        });
        assert_eq!(hexadecimal(&begin(&settings, 1.5).event(1.5, 0)), expected);
        let expected = concat!(
            "4f000000000000006c474f9309000000000000f83f10072a420a400a1a5f68706172616d735f2f73657373696f6e5f656e645f",
            "696e666f42060801120212004a1a0a180a0768706172616d73120d220b080111000000000000f83fd498558a"
        );
        assert_eq!(hexadecimal(&end(1.5).event(1.5, 7)), expected);
    }
}
