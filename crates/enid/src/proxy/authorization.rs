//! Who may use a proxy: who was told its password (RFC 7617).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::PROXY_AUTHORIZATION;
use subtle::ConstantTimeEq as _;

/// 128 random bits, in hexadecimal.
#[derive(Clone)]
pub(super) struct Password(String);

impl Password {
    pub(super) fn random() -> rustix::io::Result<Self> {
        let mut bits = [0_u8; 16];
        // So few bytes come whole or not at all: getrandom(2).
        let got = rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())?;
        if got < bits.len() {
            return Err(rustix::io::Errno::AGAIN);
        }
        Ok(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a request must bring.
#[derive(Clone)]
pub(super) struct Credentials(String);

impl Credentials {
    pub(super) fn new(user: &str, password: &Password) -> Self {
        Self(STANDARD.encode(format!("{user}:{}", password.text())))
    }

    /// Whether a request brings it; in a time that tells nothing of how much of it is right.
    pub(super) fn are_in(&self, headers: &HeaderMap) -> bool {
        let mut brought = headers.get_all(PROXY_AUTHORIZATION).iter();
        let (Some(value), None) = (brought.next(), brought.next()) else { return false };
        let Some((scheme, credentials)) = value.as_bytes().split_at_checked(6) else { return false };
        scheme.eq_ignore_ascii_case(b"basic ") && credentials.trim_ascii().ct_eq(self.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_the_right_task_will_do() {
        let password = Password::random().unwrap();
        assert_eq!(password.text().len(), 32);
        assert_ne!(password.text(), Password::random().unwrap().text());
        let credentials = Credentials::new("web", &password);
        let with = |values: &[String]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| drop(headers.append(PROXY_AUTHORIZATION, value.parse().unwrap())));
            credentials.are_in(&headers)
        };
        let right = format!("Basic {}", STANDARD.encode(format!("web:{}", password.text())));
        assert!(with(&[right.clone()]) && with(&[right.replace("Basic", "bAsIc")]));
        for wrong in [
            String::new(),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            right.replace("Basic", "Bearer"),
            right.get(..right.len() - 1).unwrap().to_owned(),
            format!("{right}A"),
            format!("Basic {}", STANDARD.encode(format!("other:{}", password.text()))),
            format!("Basic {}", STANDARD.encode("web:")),
        ] {
            assert!(!with(&[wrong.clone()]), "{wrong}");
        }
        assert!(!with(&[]) && !with(&[right.clone(), right]));
    }
}
