//! Completion scripts and manual pages.

use super::Place;

#[test]
fn completions_name_every_command_in_each_shell() {
    let place = Place::new();
    let help = place.var(&["help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"train-vae") && commands.contains(&"completions"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.var(&["completions", shell]);
        for word in commands.iter().chain(&["--more-smooth", "--spread"]) {
            let word = word.trim_start_matches("--");
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    place.refused(&["completions", "tcsh"], 2, "tcsh");
}

/// bash reads the script, and completes a command and an option by it.
#[cfg(unix)]
#[test]
fn completions_complete_in_bash() {
    let place = Place::new();
    std::fs::write(place.path("var.bash"), place.var(&["completions", "bash"])).unwrap();
    let asked = r#"
        . ./var.bash
        COMP_WORDS=(var sam); COMP_CWORD=1; _var var sam var; echo "${COMPREPLY[*]}"
        COMP_WORDS=(var sample --more); COMP_CWORD=2; _var var --more sample; echo "${COMPREPLY[*]}"
    "#;
    let mut bash = std::process::Command::new("bash");
    let output = bash.arg("-c").arg(asked).current_dir(place.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sample\n--more-smooth\n");
}

#[test]
fn man_writes_a_page_for_each_command_and_overwrites_none() {
    let place = Place::new();
    place.var(&["man", "."]);
    let names = place.names();
    assert!(names.contains(&"var.1".to_owned()) && names.contains(&"var-train-vae.1".to_owned()));
    let page = String::from_utf8(place.bytes("var-sample.1")).unwrap();
    assert!(page.starts_with(".ie") || page.contains(".TH var-sample 1"), "{page}");
    assert!(page.contains(r"\-\-more\-smooth"), "{page}");
    place.refused(&["man", "."], 1, "var.1: exists already; --force overwrites it");
    place.var(&["man", ".", "--force"]);
    assert_eq!(place.names(), names);
    place.refused(&["man", "missing"], 1, "missing");
}
