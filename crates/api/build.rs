//! Compiles the protocol. protox reads it in Rust, so that building needs no protoc.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["proto/enid/v1/enid.proto"], ["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    // For reflection, and for the test that holds the protocol against what it was.
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(folder.join("enid.v1.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // In an order that does not change from one answer to the next.
        .btree_map(".")
        // JSON keys are camelCase, as protobuf maps them.
        .type_attribute(".", "#[derive(serde::Serialize)] #[serde(rename_all = \"camelCase\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
