//! Gives the shared library its SONAME, which rustc does not.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!(
            "cargo::rustc-cdylib-link-arg=-Wl,-soname,libvarimage.so.{}",
            env!("CARGO_PKG_VERSION_MAJOR")
        );
    }
    println!("cargo::rerun-if-changed=build.rs");
}
