//! Every kernel compiles for the cards it is for; what it takes of them.
//!
//! Wants NVRTC (`VAR_REQUIRE=nvrtc` to fail without it) and, for the report, `ptxas`; no card.

use std::process::Command;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, eprintln, format, fs, println};

use super::TEXTS;
use crate::cuda::Element;
use crate::cuda::driver::compile;
use crate::cuda::text::Text;

/// The oldest card, and the one for which it is tuned.
const CAPABILITIES: [(u32, u32); 2] = [(8, 0), (9, 0)];

#[test]
fn every_kernel_compiles_for_every_card() {
    if !compile::is_present() {
        let required = env::var("VAR_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == "nvrtc"), "NVRTC is not here");
        eprintln!("skipped: NVRTC is not here");
        return;
    }
    for text in TEXTS.iter().copied().chain([&crate::cuda::FORMATS, &crate::cuda::peak::TEXT]) {
        for short in [Element::F16, Element::Bf16] {
            for capability in CAPABILITIES {
                let cubin = compile::cubin(text, short, capability);
                assert!(cubin.is_ok(), "{short:?} {capability:?}: {}", cubin.unwrap_err());
                let names: Vec<&str> = text.kernels().collect();
                assert!(!names.is_empty(), "{} has kernels", text.name);
                report(text, short, capability);
            }
        }
    }
}

/// Prints each kernel's registers, and fails if one spills more than a few of them.
fn report(text: &'static Text, short: Element, (major, minor): (u32, u32)) {
    let ptx = compile::ptx(text, short, (major, minor)).unwrap();
    let folder = env::temp_dir();
    let path = folder.join(format!("var-{}-{}-{major}{minor}.ptx", std::process::id(), text.name));
    fs::write(&path, ptx).unwrap();
    let output = Command::new("ptxas")
        .args(["-v", &format!("--gpu-name=sm_{major}{minor}"), "-o", "/dev/null"])
        .arg(&path)
        .output();
    fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        println!("no report on {}: ptxas is not here", text.name);
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(output.status.success(), "{said}");
    let mut kernel = String::new();
    for line in said.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            kernel = rest.split('\'').next().unwrap_or("").to_string();
        } else if let Some((_, spills)) = line.split_once("bytes stack frame, ") {
            let spilled: u32 = spills.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            assert!(spilled <= 64, "{kernel} spills {spilled} bytes on sm_{major}{minor}");
        } else if let Some((_, used)) = line.split_once("Used ") {
            println!("sm_{major}{minor} {short:?} {kernel}: {used}");
        }
    }
}
