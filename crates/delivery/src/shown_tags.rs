//! The values of an ENI's tags as a flow log shows them.

use std::fmt::Write as _;

use enid_model::Tags;

use crate::flow_log::FlowLog;

impl FlowLog {
    /// What `interface-tag` and `interface-tag-2` show of an ENI with these tags: percent-encoded UTF-8 (RFC 3986, 2.1).
    /// None where the ENI has no such tag, or an empty one.
    pub fn shown_tags(&self, tags: &Tags) -> [Option<Box<str>>; 2] {
        self.interface_tags.each_ref().map(|key| {
            let value = tags.get(key.as_deref()?)?;
            (!value.is_empty()).then(|| encode(value).into())
        })
    }
}

/// Encodes all but unreserved characters; a lone `-` too, which in a record says that there is nothing.
fn encode(value: &str) -> String {
    if value == "-" {
        return "%2D".to_owned();
    }
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use enid_flowlog::{FlowLogId, Format};
    use enid_model::EniId;

    use super::*;
    use crate::{AggregationInterval, FileOptions, Target, TrafficFilter};

    #[test]
    fn values_are_percent_encoded() {
        let tags = [("Name", "web ü/1%"), ("Plain", "a-b_c.d~e"), ("None", ""), ("Dash", "-")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let tags = Tags::new(BTreeMap::from(tags)).unwrap();
        let shown = |keys: [Option<&str>; 2]| {
            let flow_log = FlowLog {
                id: FlowLogId::random(),
                name: "all".parse().unwrap(),
                target: Target::Eni(EniId::random()),
                traffic: TrafficFilter::All,
                interval: AggregationInterval::default(),
                format: Format::default(),
                destination: "/a".parse().unwrap(),
                files: FileOptions::default(),
                interface_tags: keys.map(|key| key.map(str::to_owned)),
            };
            flow_log.shown_tags(&tags).map(|value| value.map(String::from))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown([Some("Name"), Some("Plain")]), [some("web%20%C3%BC%2F1%25"), some("a-b_c.d~e")]);
        assert_eq!(shown([Some("None"), Some("Dash")]), [None, some("%2D")]);
        assert_eq!(shown([Some("Other"), None]), [None, None]);
    }
}
