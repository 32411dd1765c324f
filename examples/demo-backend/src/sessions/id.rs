//! The id of a session: whoever has it is logged in.

use std::fmt;

use crate::down::Down;

/// 128 random bits; 32 digits in hex, as the cookie has them. Its `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(u128);

impl SessionId {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn draw() -> Result<Self, Down> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(Down::new)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// Reads what [`to_hex`](Self::to_hex) has written, and nothing else.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        // `from_str_radix` takes signs and capitals too, and any length.
        let digits =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| digits).map(Self)
    }

    /// For the cookie and for Redis, and for nothing that is read by people.
    pub(crate) fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::SessionId;

    #[test]
    fn ids_differ_and_are_read_back() {
        let [a, b] = [(); 2].map(|()| SessionId::draw().unwrap());
        assert_ne!(a, b);
        assert_eq!(SessionId::from_hex(&a.to_hex()), Some(a));
        let small = SessionId(10);
        assert_eq!(small.to_hex(), "0000000000000000000000000000000a");
        assert_eq!(SessionId::from_hex(&small.to_hex()), Some(small));
    }

    #[test]
    fn anything_else_is_no_id() {
        let good = "0123456789abcdef0123456789abcdef";
        assert!(SessionId::from_hex(good).is_some());
        for bad in [
            "",
            "0",
            &good[1..],
            &format!("{good}0"),
            &good.to_uppercase(),
            &format!("+{}", &good[1..]),
            &format!("{}é", &good[2..]),
            &format!("\"{good}\""),
            &"f".repeat(1 << 20),
        ] {
            assert_eq!(SessionId::from_hex(bad), None, "{bad:.40}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", SessionId(0xabc)), "SessionId(..)");
    }
}
