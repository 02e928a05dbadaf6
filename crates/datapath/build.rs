//! Chooses the eBPF object to embed: the committed one, or the one that `ENID_BPF_OBJECT` names, which is how
//! `scripts/build-ebpf --check` has the tests run on a fresh one.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=ENID_BPF_OBJECT");
    let object = env::var_os("ENID_BPF_OBJECT").map_or_else(|| PathBuf::from("enid.bpf.o"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let copied = fs::copy(&object, Path::new(&out).join("enid.bpf.o"));
    let context = |error| io::Error::other(format!("the eBPF object {}: {error}", object.display()));
    copied.map(drop).map_err(context)
}
