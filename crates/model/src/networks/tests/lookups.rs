//! What users call things, and what they are told when there is no such thing.

use super::networks;
use crate::{Networks, SecurityGroupId, SubnetId, VpcId};

#[test]
fn a_vpc_is_found_by_name_or_identifier() {
    let networks = networks();
    let red = networks.vpc("red").unwrap();
    assert_eq!(red.name.as_str(), "red");
    assert_eq!(networks.vpc(&red.id.to_string()), Ok(red));
    assert_eq!(networks.vpc_by_id(red.id), Some(red));
    assert_eq!(networks.vpc_by_id(VpcId::random()), None);
    assert_eq!(networks.vpc("green").unwrap_err().to_string(), "there is no VPC `green`; there is blue, red");
    assert_eq!(
        Networks::default().vpc("green").unwrap_err().to_string(),
        "there is no VPC `green`; there is none yet"
    );
}

#[test]
fn a_subnet_is_found_by_identifier_path_or_unambiguous_name() {
    let networks = networks();
    let (blue, b) = networks.subnet("b").unwrap();
    assert_eq!((blue.name.as_str(), b.name.as_str()), ("blue", "b"));
    let (red, a) = networks.subnet("red/a").unwrap();
    assert_eq!((red.name.as_str(), a.name.as_str()), ("red", "a"));
    for text in [a.id.to_string(), format!("{}/a", red.id), format!("red/{}", a.id)] {
        assert_eq!(networks.subnet(&text), Ok((red, a)), "{text}");
    }
    assert_eq!(networks.subnet_by_id(a.id), Some((red, a)));
    assert_eq!(networks.subnet_by_id(SubnetId::random()), None);
    assert_eq!(red.subnet("a"), Ok(a));
}

#[test]
fn what_is_ambiguous_or_unknown_is_answered_with_what_there_is() {
    let networks = networks();
    for (text, expected) in [
        ("a", "subnet `a` is in several VPCs; say which: blue/a, red/a"),
        ("c", "there is no subnet `c`; there is blue/a, blue/b, red/a"),
        ("red/b", "there is no subnet `red/b`; there is red/a"),
        ("green/a", "there is no VPC `green`; there is blue, red"),
        (
            "subnet-00000000000000000",
            "there is no subnet `subnet-00000000000000000`; there is blue/a, blue/b, red/a",
        ),
    ] {
        assert_eq!(networks.subnet(text).unwrap_err().to_string(), expected);
    }
    let other_vpcs = networks.subnet("blue/b").unwrap().1.id;
    assert!(networks.subnet(&format!("red/{other_vpcs}")).is_err());
}

#[test]
fn a_security_group_is_found_in_its_vpc_and_on_the_host() {
    let networks = networks();
    let blue = networks.vpc("blue").unwrap();
    let web = blue.security_group("web").unwrap();
    assert_eq!(blue.security_group(&web.id.to_string()), Ok(web));
    assert_eq!(blue.security_group_by_id(web.id), Some(web));
    for text in ["web", "blue/web", &web.id.to_string()] {
        assert_eq!(networks.security_group(text), Ok((blue, web)), "{text}");
    }
    assert_eq!(networks.security_group_by_id(web.id), Some((blue, web)));
    assert_eq!(networks.security_group_by_id(SecurityGroupId::random()), None);
    assert_eq!(
        networks.vpc("red").unwrap().security_group("web").unwrap_err().to_string(),
        "there is no security group `web`; there is red/default"
    );
    // A VPC that is asked for one of its own may be named as well.
    for text in ["blue/web".to_owned(), format!("{}/web", blue.id), format!("blue/{}", web.id)] {
        assert_eq!(blue.security_group(&text), Ok(web), "{text}");
    }
    for (text, expected) in [
        ("blue/api", "there is no security group `blue/api`; there is blue/default, blue/web"),
        ("red/default", "security group `red/default`: it has to be of vpc blue"),
        ("red/web", "security group `red/web`: it has to be of vpc blue"),
    ] {
        assert_eq!(blue.security_group(text).unwrap_err().to_string(), expected);
    }
    assert_eq!(
        networks.security_group("default").unwrap_err().to_string(),
        "security group `default` is in several VPCs; say which: blue/default, red/default"
    );
}

#[test]
fn a_prefix_list_is_found_in_its_vpc_and_on_the_host() {
    let text = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n\
                [[vpc.prefix_list]]\nname = 'corporate'\nentries = []\n";
    let (networks, _) = networks().apply(&super::spec(text)).unwrap();
    let blue = networks.vpc("blue").unwrap();
    let list = blue.prefix_list("corporate").unwrap();
    assert_eq!(blue.prefix_list_by_id(list.id), Some(list));
    for text in ["corporate", "blue/corporate", &list.id.to_string()] {
        assert_eq!(networks.prefix_list(text), Ok((blue, list)), "{text}");
    }
    assert_eq!(networks.prefix_list_by_id(list.id), Some((blue, list)));
    assert_eq!(
        networks.prefix_list("red/corporate").unwrap_err().to_string(),
        "there is no prefix list `red/corporate`; there is none yet"
    );
}

#[test]
fn what_was_stored_before_there_were_prefix_lists_is_read() {
    let networks = networks();
    let stored = serde_json::to_string(&networks).unwrap();
    let older = stored.replace(",\"prefix_lists\":[]", "");
    assert_ne!(older, stored);
    assert_eq!(serde_json::from_str::<Networks>(&older).unwrap(), networks);
}

#[test]
fn a_name_that_looks_like_an_identifier_is_found_too() {
    let text = "[[vpc]]\nname = 'vpc-00000000000000000'\nipv4_cidr = '10.0.0.0/16'\n";
    let (networks, _) = Networks::default().apply(&super::spec(text)).unwrap();
    assert_eq!(networks.vpc("vpc-00000000000000000"), Ok(&networks.vpcs()[0]));
}
