//! Comma-separated values (RFC 4180), with the line ends of Unix.

/// A line of these values, with its end. A value with a comma, a quote or a line end in it is quoted.
pub(crate) fn csv_line<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let mut line = String::new();
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        let value = value.as_ref();
        if value.contains([',', '"', '\r', '\n']) {
            line.push('"');
            line.push_str(&value.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(value);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_misread_is_quoted() {
        assert_eq!(csv_line(["a", "", "b c"]), "a,,b c\n");
        assert_eq!(csv_line(["a,b", "say \"x\"", "1\n2"]), "\"a,b\",\"say \"\"x\"\"\",\"1\n2\"\n");
    }
}
