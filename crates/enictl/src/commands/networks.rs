//! `enictl vpc`, `enictl subnet`, `enictl security-group` and `enictl prefix-list`.

mod find;

use std::process::ExitCode;

use clap::Subcommand;
use enid_api::v1::delete_network_object_request::Object;
use enid_api::v1::{ApplyResponse, DeleteNetworkObjectRequest, ListNetworksRequest, Subnet, Vpc};
use serde::Serialize;

use super::apply;
use crate::failure::Failure;
use crate::session::Session;

/// The three commands of one kind of object, and more where it has more. (Text that is put together can't be a doc
/// comment for clap.)
macro_rules! commands {
    ($name:ident, $command:literal, $noun:literal, $nouns:literal, $by:literal, $example:literal $(, $more:ident)*) => {
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
            $($more($more),)*
        }
    };
}

mod prefix_lists;
mod security_groups;
mod view;

pub(crate) use prefix_lists::PrefixListCommand;
pub(crate) use security_groups::SecurityGroupCommand;

commands!(VpcCommand, "vpc", "VPC", "VPCs", "Its name or id", "shop");
commands!(
    SubnetCommand,
    "subnet",
    "subnet",
    "subnets",
    "Its id, `vpc/name`, or its name if no other VPC has one of that name",
    "shop/shop-a"
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

/// The name as `vpc/name`, if its VPC is said apart from it.
fn qualified(vpc: Option<&str>, name: &str) -> String {
    vpc.map_or_else(|| name.to_owned(), |vpc| format!("{vpc}/{name}"))
}

fn print_changes(session: &Session, response: &ApplyResponse, dry_run: bool) -> Result<(), Failure> {
    session.format.print(response, |response| apply::changes(response, dry_run))
}
