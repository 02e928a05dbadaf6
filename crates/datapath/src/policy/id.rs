//! Ids of the domain as maps have them.

use std::str::FromStr;

use enid_abi::ObjectId;
use enid_model::{PrefixListId, SecurityGroupId};

/// An id of 68 bits that is a key of a map.
pub(crate) trait MapId: FromStr {
    const PREFIX: &'static str;

    fn number(self) -> u128;

    #[allow(clippy::cast_possible_truncation, reason = "the halves are meant")]
    fn object_id(self) -> ObjectId
    where
        Self: Sized,
    {
        let number = self.number();
        [(number >> 64) as u64, number as u64]
    }

    /// The id with these bits; nothing if there are more of them than an id has.
    fn from_object_id([upper, lower]: ObjectId) -> Option<Self> {
        let number = u128::from(upper) << 64 | u128::from(lower);
        format!("{}{number:017x}", Self::PREFIX).parse().ok()
    }
}

impl MapId for SecurityGroupId {
    const PREFIX: &'static str = "sg-";

    fn number(self) -> u128 {
        self.bits()
    }
}

impl MapId for PrefixListId {
    const PREFIX: &'static str = "pl-";

    fn number(self) -> u128 {
        self.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_into_a_map_and_back() {
        for text in ["sg-0123456789abcdef0", "sg-00000000000000000", "sg-fffffffffffffffff"] {
            let id: SecurityGroupId = text.parse().unwrap();
            assert_eq!(SecurityGroupId::from_object_id(id.object_id()), Some(id));
        }
        let list: PrefixListId = "pl-f0000000000000001".parse().unwrap();
        assert_eq!(list.object_id(), [0xf, 1]);
        assert_eq!(PrefixListId::from_object_id([0x10, 0]), None);
    }
}
