//! What may be removed.

use super::{FILE, networks, shown, spec};
use crate::{Networks, SecurityGroupId, SubnetId, VpcId};

#[test]
fn a_vpc_goes_with_its_subnets_and_groups() {
    let before = networks();
    let (after, changes) = before.remove_vpc(before.vpc("blue").unwrap().id).unwrap();
    assert_eq!(
        shown(&changes),
        [
            "- vpc blue (vpc-…) 10.0.0.0/16",
            "- subnet a (subnet-…) of vpc blue: 10.0.0.0/24 in zone z",
            "- subnet b (subnet-…) of vpc blue: 10.0.1.0/24 in zone z",
            "- security-group default (sg-…) of vpc blue: 1 ingress rule, 2 egress rules",
            "- security-group web (sg-…) of vpc blue: 2 ingress rules, 2 egress rules",
        ]
    );
    assert_eq!(after.vpcs(), &before.vpcs()[1..]);
}

#[test]
fn a_subnet_goes_alone() {
    let before = networks();
    let (after, change) = before.remove_subnet(before.subnet("blue/a").unwrap().1.id).unwrap();
    assert_eq!(shown(&[change]), ["- subnet a (subnet-…) of vpc blue: 10.0.0.0/24 in zone z"]);
    assert!(after.subnet("blue/a").is_err());
    assert!(after.subnet("blue/b").is_ok() && after.subnet("red/a").is_ok());
}

#[test]
fn a_group_goes_though_its_own_rules_refer_to_it() {
    let before = networks();
    let web = before.security_group("web").unwrap().1.id;
    let (after, change) = before.remove_security_group(web).unwrap();
    assert_eq!(
        shown(&[change]),
        ["- security-group web (sg-…) of vpc blue: 2 ingress rules, 2 egress rules"]
    );
    assert!(after.security_group("web").is_err());
}

#[test]
fn a_group_that_others_refer_to_stays() {
    let text = format!(
        "{FILE}[[vpc.security_group]]\nname = 'db'\n\
         [[vpc.security_group]]\nname = 'app'\negress = [{{security_group = 'db'}}]\n\
         [[vpc.security_group]]\nname = 'job'\ningress = [{{security_group = 'db'}}, {{security_group = 'db'}}]\n",
    );
    let (networks, _) = Networks::default().apply(&spec(&text)).unwrap();
    let id = networks.security_group("db").unwrap().1.id;
    assert_eq!(
        networks.remove_security_group(id).unwrap_err().to_string(),
        format!(
            "security group db ({id}) can't be removed: rules of app, job refer to it; change those first"
        )
    );
}

#[test]
fn a_prefix_list_goes_when_no_rule_refers_to_it() {
    let list = "[[vpc]]\nname = 'blue'\nipv4_cidr = '10.0.0.0/16'\n\
                [[vpc.prefix_list]]\nname = 'corporate'\nentries = ['10.8.0.0/16']\n";
    let text =
        format!("{list}[[vpc.security_group]]\nname = 'db'\negress = [{{prefix_list = 'corporate'}}]\n");
    let (networks, _) = networks().apply(&spec(&text)).unwrap();
    let id = networks.prefix_list("corporate").unwrap().1.id;
    assert_eq!(
        networks.remove_prefix_list(id).unwrap_err().to_string(),
        format!("prefix list corporate ({id}) can't be removed: rules of db refer to it; change those first")
    );
    let (networks, _) = networks.remove_security_group(networks.security_group("db").unwrap().1.id).unwrap();
    let (networks, change) = networks.remove_prefix_list(id).unwrap();
    assert_eq!(shown(&[change]), ["- prefix-list corporate (pl-…) of vpc blue: 1 entry"]);
    assert!(networks.prefix_list("corporate").is_err());
    assert_eq!(
        networks.remove_prefix_list(id).unwrap_err().to_string(),
        format!("there is no prefix list {id}")
    );
}

#[test]
fn the_default_group_stays() {
    let networks = networks();
    let id = networks.security_group("red/default").unwrap().1.id;
    assert_eq!(
        networks.remove_security_group(id).unwrap_err().to_string(),
        format!(
            "security group default ({id}) can't be removed: every VPC has one; removing VPC red removes it too"
        )
    );
}

#[test]
fn what_is_not_there_is_named() {
    let networks = networks();
    let (vpc, subnet, group) = (VpcId::random(), SubnetId::random(), SecurityGroupId::random());
    assert_eq!(networks.remove_vpc(vpc).unwrap_err().to_string(), format!("there is no VPC {vpc}"));
    assert_eq!(
        networks.remove_subnet(subnet).unwrap_err().to_string(),
        format!("there is no subnet {subnet}")
    );
    assert_eq!(
        networks.remove_security_group(group).unwrap_err().to_string(),
        format!("there is no security group {group}")
    );
}
