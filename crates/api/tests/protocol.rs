//! The protocol only grows: what was published stays as it was. Clients in other languages have it compiled in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails ends the test, and says where")]

use std::collections::{BTreeMap, BTreeSet};

use enid_api::{API, API_REVISION, FILE_DESCRIPTOR_SET};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

/// A line for everything that clients depend on, in the order of the names.
const PUBLISHED: &str = include_str!("../proto/enid/v1/published.txt");

fn current() -> BTreeSet<String> {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut lines = BTreeSet::new();
    for file in descriptors.file.iter().filter(|file| file.package() == API) {
        file.service.iter().for_each(|service| add_service(service, &mut lines));
        file.message_type.iter().for_each(|message| add_message(message, &mut lines));
        assert!(file.enum_type.is_empty(), "words are text in this protocol");
    }
    lines
}

fn add_service(service: &ServiceDescriptorProto, lines: &mut BTreeSet<String>) {
    for method in &service.method {
        let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
        lines.insert(format!(
            "{}.{}({}{}) returns ({}{})",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            method.input_type(),
            stream(method.server_streaming()),
            method.output_type()
        ));
    }
}

fn add_message(message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    lines.insert(format!("{} {{}}", message.name()));
    for field in &message.field {
        lines.insert(format!(
            "{}.{} = {}: {}",
            message.name(),
            field.name(),
            field.number(),
            kind(message, field)
        ));
    }
}

fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    let one_of = field.oneof_index.filter(|_| !field.proto3_optional());
    let one_of =
        one_of.map(|index| format!(" in {}", message.oneof_decl[usize::try_from(index).unwrap()].name()));
    let name = match field.r#type() {
        Type::Message => field.type_name().to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    format!("{label}{name}{}", one_of.unwrap_or_default())
}

fn published() -> (u32, BTreeSet<String>) {
    let (first, rest) = PUBLISHED.split_once('\n').unwrap();
    let revision = first.strip_prefix(&format!("{API} revision ")).unwrap().parse().unwrap();
    (revision, rest.lines().map(str::to_owned).collect())
}

/// What was published and is not there any more, or is other than it was.
fn lost(published: &BTreeSet<String>, current: &BTreeSet<String>) -> Vec<String> {
    published.difference(current).cloned().collect()
}

#[test]
fn nothing_that_was_published_has_changed() {
    let (_, published) = published();
    assert!(published.len() > 300, "{}", published.len());
    assert_eq!(lost(&published, &current()), [""; 0], "clients have these; add others beside them");
}

/// After an addition: raise `API_REVISION`, and take the lines that the failure prints up into published.txt.
#[test]
fn what_is_new_is_published_with_a_revision_of_its_own() {
    let (revision, published) = published();
    let current = current();
    let new: Vec<&str> = current.difference(&published).map(String::as_str).collect();
    assert!(new.is_empty(), "not in published.txt of revision {revision}:\n{}", new.join("\n"));
    assert_eq!(revision, API_REVISION);
}

#[test]
fn a_change_that_breaks_clients_is_found() {
    let current = current();
    let field = "Task.netns = 3: string";
    assert!(current.contains(field), "{current:#?}");
    for changed in ["Task.netns = 4: string", "Task.netns = 3: optional string", "Task.path = 3: string"] {
        let mut after = current.clone();
        after.remove(field);
        after.insert(changed.to_owned());
        assert_eq!(lost(&current, &after), [field], "{changed}");
    }
}

#[test]
fn no_number_is_used_twice_in_a_message() {
    let mut numbers: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in current().iter().filter_map(|line| line.split_once(" = ")) {
        let (message, _) = line.0.split_once('.').unwrap();
        let (number, _) = line.1.split_once(':').unwrap();
        *numbers.entry((message.to_owned(), number.to_owned())).or_default() += 1;
    }
    assert!(numbers.values().all(|count| *count == 1), "{numbers:?}");
}
