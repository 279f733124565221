//! Links without start files, C library or position-independent code.

fn main() {
    let arguments: &[&str] = match std::env::var("TARGET").as_deref() {
        Ok("wasm32-unknown-unknown") => &["--export=start"],
        Ok("thumbv7em-none-eabihf") => {
            println!("cargo::rerun-if-changed=cortex_m.ld");
            &["-Tcortex_m.ld"]
        }
        Ok("x86_64-unknown-linux-gnu") => &["-nostartfiles", "-nostdlib", "-static", "-no-pie"],
        // (With rust-lld.)
        _ => &["-static", "--no-pie"],
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
