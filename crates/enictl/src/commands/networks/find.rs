//! Finding one object by what an operator calls it.

use enid_api::v1::{PrefixList, SecurityGroup, Subnet, Vpc};

use crate::failure::Failure;

/// The VPC with this name or id.
pub(super) fn vpc<'a>(vpcs: &'a [Vpc], text: &str) -> Result<&'a Vpc, Failure> {
    vpcs.iter().find(|vpc| is(vpc, text)).ok_or_else(|| absent("VPC", "vpc", text))
}

/// The subnet with this id, `vpc/name` or name, and its VPC.
pub(super) fn subnet<'a>(vpcs: &'a [Vpc], text: &str) -> Result<(&'a Vpc, &'a Subnet), Failure> {
    let all = vpcs.iter().flat_map(|vpc| vpc.subnets.iter().map(move |subnet| (vpc, subnet)));
    one("subnet", "subnet", text, all, |subnet| (&subnet.id, &subnet.name))
}

/// The security group with this id, `vpc/name` or name, and its VPC.
pub(super) fn security_group<'a>(
    vpcs: &'a [Vpc],
    text: &str,
) -> Result<(&'a Vpc, &'a SecurityGroup), Failure> {
    let all = vpcs.iter().flat_map(|vpc| vpc.security_groups.iter().map(move |group| (vpc, group)));
    one("security group", "security-group", text, all, |group| (&group.id, &group.name))
}

/// The prefix list with this id, `vpc/name` or name, and its VPC.
pub(super) fn prefix_list<'a>(vpcs: &'a [Vpc], text: &str) -> Result<(&'a Vpc, &'a PrefixList), Failure> {
    let all = vpcs.iter().flat_map(|vpc| vpc.prefix_lists.iter().map(move |list| (vpc, list)));
    one("prefix list", "prefix-list", text, all, |list| (&list.id, &list.name))
}

fn is(vpc: &Vpc, text: &str) -> bool {
    vpc.id == text || vpc.name == text
}

fn one<'a, T>(
    noun: &str,
    command: &str,
    text: &str,
    all: impl Iterator<Item = (&'a Vpc, &'a T)>,
    id_and_name: impl Fn(&T) -> (&str, &str),
) -> Result<(&'a Vpc, &'a T), Failure> {
    let mut found = all.filter(|(vpc, object)| {
        let (id, name) = id_and_name(object);
        match text.split_once('/') {
            Some((of, text)) => is(vpc, of) && (text == name || text == id),
            None => text == name || text == id,
        }
    });
    let first = found.next().ok_or_else(|| absent(noun, command, text))?;
    match found.next() {
        None => Ok(first),
        Some((other, _)) => Err(Failure::NotFound(format!(
            "more than one {noun} is named `{text}`: say `{}/{text}` or `{}/{text}`",
            first.0.name, other.name
        ))),
    }
}

fn absent(noun: &str, command: &str, text: &str) -> Failure {
    Failure::NotFound(format!("there is no {noun} `{text}`: `enictl {command} list` shows those that exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpcs() -> Vec<Vpc> {
        ["blue", "green"]
            .map(|name| Vpc {
                id: format!("vpc-{name}"),
                name: name.to_owned(),
                subnets: vec![Subnet {
                    id: format!("subnet-of-{name}"),
                    name: "a".to_owned(),
                    ..Subnet::default()
                }],
                ..Vpc::default()
            })
            .to_vec()
    }

    #[test]
    fn by_id_by_name_and_by_path() {
        let vpcs = vpcs();
        assert_eq!(vpc(&vpcs, "green").unwrap().id, "vpc-green");
        assert_eq!(vpc(&vpcs, "vpc-blue").unwrap().name, "blue");
        for text in ["green/a", "vpc-green/a", "subnet-of-green"] {
            assert_eq!(subnet(&vpcs, text).unwrap().1.id, "subnet-of-green", "{text}");
        }
    }

    #[test]
    fn what_is_absent_or_ambiguous_is_said() {
        let vpcs = vpcs();
        assert_eq!(
            subnet(&vpcs, "a").unwrap_err().to_string(),
            "more than one subnet is named `a`: say `blue/a` or `green/a`"
        );
        assert_eq!(
            security_group(&vpcs, "web").unwrap_err().to_string(),
            "there is no security group `web`: `enictl security-group list` shows those that exist"
        );
        assert!(vpc(&vpcs, "red").is_err());
    }
}
