//! What one object is: a line for each property.

use std::fmt;

/// Lines of `key  value`, the values aligned.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Adds a line.
    pub(crate) fn add(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// Adds a line if there is a value.
    pub(crate) fn add_some(&mut self, key: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// Adds a line of all values, if there are any.
    pub(crate) fn add_list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.add(key, values.join(" "));
        }
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(key, _)| key.chars().count()).max();
        for (key, value) in &self.0 {
            writeln!(f, "{key:width$}  {value}", width = width.unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned() {
        let mut pairs = Pairs::default();
        pairs.add("mac", "0a:00:00:00:00:01");
        pairs.add("ipv4-gateway", "10.0.0.1");
        pairs.add_some("ipv6", None::<&str>);
        pairs.add_list("dns", &[]);
        assert_eq!(pairs.to_string(), "mac           0a:00:00:00:00:01\nipv4-gateway  10.0.0.1\n");
    }
}
