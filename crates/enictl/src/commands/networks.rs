//! `enictl vpc`, `enictl subnet` and `enictl security-group`.

mod find;
mod view;

use std::process::ExitCode;

use clap::Subcommand;
use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{DeleteNetworkObjectRequest, ListNetworksRequest, SecurityGroup, Subnet, Vpc};
use serde::Serialize;

use crate::failure::Failure;
use crate::session::Session;

/// The three commands of one kind of object. (Text that is put together can't be a doc comment for clap.)
macro_rules! commands {
    ($name:ident, $command:literal, $noun:literal, $nouns:literal, $by:literal, $example:literal) => {
        #[doc = concat!("What can be done with ", $nouns, ".")]
        #[derive(Debug, Subcommand)]
        pub(crate) enum $name {
            #[command(about = concat!("List the host's ", $nouns), after_help = concat!("Example:\n  enictl ", $command, " list"))]
            List,
            #[command(about = concat!("Show one ", $noun), after_help = concat!("Example:\n  enictl ", $command, " show ", $example))]
            Show {
                #[arg(help = $by)]
                name: String,
            },
            #[command(about = concat!("Delete a ", $noun, " that nothing uses"), after_help = concat!("Example:\n  enictl ", $command, " delete ", $example))]
            Delete {
                #[arg(help = $by)]
                name: String,
            },
        }
    };
}

commands!(VpcCommand, "vpc", "VPC", "VPCs", "Its name or id", "shop");
commands!(
    SubnetCommand,
    "subnet",
    "subnet",
    "subnets",
    "Its id, `vpc/name`, or its name if no other VPC has one of that name",
    "shop/shop-a"
);
commands!(
    SecurityGroupCommand,
    "security-group",
    "security group",
    "security groups",
    "Its id, `vpc/name`, or its name if no other VPC has one of that name",
    "shop/web"
);

impl VpcCommand {
    /// Lists, shows or deletes.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::List => {
                #[derive(Serialize)]
                struct Listed<'a> {
                    vpcs: &'a [Vpc],
                }
                let vpcs = &list(session)?;
                session.format.print(&Listed { vpcs }, |_| view::vpcs(vpcs))?;
            }
            Self::Show { name } => {
                let vpcs = list(session)?;
                let vpc = find::vpc(&vpcs, &name)?;
                session.format.print(vpc, view::vpc)?;
            }
            Self::Delete { name } => delete(session, Object::Vpc(name.clone()), &format!("VPC {name}"))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl SubnetCommand {
    /// Lists, shows or deletes.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::List => {
                #[derive(Serialize)]
                struct Listed<'a> {
                    subnets: Vec<&'a Subnet>,
                }
                let vpcs = &list(session)?;
                let subnets = vpcs.iter().flat_map(|vpc| &vpc.subnets).collect();
                session.format.print(&Listed { subnets }, |_| view::subnets(vpcs))?;
            }
            Self::Show { name } => {
                let vpcs = list(session)?;
                let (vpc, subnet) = find::subnet(&vpcs, &name)?;
                session.format.print(subnet, |subnet| view::subnet(vpc, subnet))?;
            }
            Self::Delete { name } => {
                delete(session, Object::Subnet(name.clone()), &format!("subnet {name}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl SecurityGroupCommand {
    /// Lists, shows or deletes.
    pub(crate) fn execute(self, session: &Session) -> Result<ExitCode, Failure> {
        match self {
            Self::List => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Listed<'a> {
                    security_groups: Vec<&'a SecurityGroup>,
                }
                let vpcs = &list(session)?;
                let security_groups = vpcs.iter().flat_map(|vpc| &vpc.security_groups).collect();
                session.format.print(&Listed { security_groups }, |_| view::security_groups(vpcs))?;
            }
            Self::Show { name } => {
                let vpcs = list(session)?;
                let (vpc, group) = find::security_group(&vpcs, &name)?;
                session.format.print(group, |group| view::security_group(vpc, group))?;
            }
            Self::Delete { name } => {
                let object = Object::SecurityGroup(name.clone());
                delete(session, object, &format!("security group {name}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(session: &Session) -> Result<Vec<Vpc>, Failure> {
    session.talk(async |client| {
        let response = client.networks().list(ListNetworksRequest {}).await?;
        Ok(response.into_inner().vpcs)
    })
}

fn delete(session: &Session, object: Object, what: &str) -> Result<(), Failure> {
    let request = DeleteNetworkObjectRequest { object: Some(object) };
    let response = session.talk(async |client| Ok(client.networks().delete(request).await?.into_inner()))?;
    session.format.print(&response, |_| format!("{what} deleted\n"))
}
