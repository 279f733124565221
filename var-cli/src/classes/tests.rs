use var_host::model::classes::imagenet;

use super::*;

fn of(names: &[&str], text: &str) -> Result<(Vec<u32>, String), String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let listed = Classes { count: names.len(), names: &names }.list("--class", text);
    let listed = listed.map_err(|fault| fault.to_string())?;
    Ok((listed.labels, listed.notes.join(", ")))
}

fn parsed(text: &str) -> Result<Vec<u32>, String> {
    let (labels, notes) = of(&["T-shirt", "Trouser", "Ankle boot", "Shirt dress"], text)?;
    assert_eq!(notes, "");
    Ok(labels)
}

#[test]
fn lists_of_every_kind() {
    assert_eq!(parsed("2"), Ok(vec![2]));
    assert_eq!(parsed("0-2, -1,4"), Ok(vec![0, 1, 2, 4, 4]));
    assert_eq!(parsed("all"), Ok(vec![0, 1, 2, 3]));
    assert_eq!(parsed("t-shirt,BOOT,trou"), Ok(vec![0, 2, 1]));
    assert_eq!(parsed("ankle_boot, \"Trouser\""), Ok(vec![2, 1]));
}

/// D04: numbers are labels, also where folders are called by numbers; that is said.
#[test]
fn numbers_are_labels_where_classes_are_called_by_numbers() {
    let mut names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let note = "class 2 is called 10, the class called 2 is 4, or \"2\" in quotes";
    assert_eq!(of(&names, "2"), Ok((vec![2], note.to_owned())));
    assert_eq!(of(&names, "\"2\""), Ok((vec![4], String::new())));
    assert_eq!(of(&names, "0,1"), Ok((vec![0, 1], String::new())));
    let note = "class 2 is called 10, class 3 is called 11";
    assert_eq!(of(&names, "1-3"), Ok((vec![1, 2, 3], note.to_owned())));
    assert_eq!(of(&names, "all"), Ok((Vec::from_iter(0..12), String::new())));
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let classes = Classes { count: 12, names: &owned };
    let called = [0, 2, 11, 12].map(|label| classes.file_name(label));
    assert_eq!(called, ["class0", "class2-10", "class11-9", "none"]);
}

/// D04b: a name with a comma is one class, whole, by its parts, escaped or in quotes.
#[test]
fn names_with_commas_are_one_class() {
    let names = [
        "tench, Tinca tinca",
        "goldfish, Carassius auratus",
        "great white shark, \
                 white shark",
        "tiger shark",
        "white shark, grey",
    ];
    for (text, labels) in [
        ("tench, Tinca tinca", &[0][..]),
        ("TENCH,tinca_tinca", &[0]),
        ("tench", &[0]),
        ("Tinca tinca", &[0]),
        ("tench, goldfish", &[0, 1]),
        ("3, tench, Tinca tinca, goldfish, Carassius auratus, tiger", &[3, 0, 1, 3]),
        ("great white shark, white shark", &[2]),
        ("great white shark", &[2]),
        ("tench\\, Tinca tinca,3", &[0, 3]),
        ("\"tench, Tinca tinca\", \"goldfish\"", &[0, 1]),
    ] {
        assert_eq!(of(&names, text), Ok((labels.to_vec(), String::new())), "{text}");
    }
    let fault = of(&names, "white shark").unwrap_err();
    let several = "--class white shark: several classes are: great white shark, white shark (2), \
                   white shark, grey (4)";
    assert_eq!(fault, several);
}

/// D04c: names of several classes are refused with the numbers; of names that differ in case only,
/// the one written so is meant.
#[test]
fn names_of_several_classes_are_refused() {
    let names = ["crane", "Cardigan", "crane", "cardigan", "all", "-1", "0-3"];
    let several = "--class crane: several classes are: crane (0), crane (2)";
    assert_eq!(of(&names, "crane"), Err(several.to_owned()));
    assert_eq!(of(&names, "cardigan"), Ok((vec![3], String::new())));
    assert_eq!(of(&names, "Cardigan"), Ok((vec![1], String::new())));
    let several = "--class CARDIGAN: several classes are: Cardigan (1), cardigan (3)";
    assert_eq!(of(&names, "CARDIGAN"), Err(several.to_owned()));
    let note = "the class called -1 is 5, or \"-1\" in quotes";
    assert_eq!(of(&names, "-1"), Ok((vec![7], note.to_owned())));
    assert_eq!(of(&names, "\"-1\",\"all\",\"0-3\""), Ok((vec![5, 4, 6], String::new())));
}

/// U07: the 1000 classes of models without names, and ids of ImageNet as names.
#[test]
fn classes_of_imagenet_have_names_and_ids() {
    let classes = Classes { count: imagenet::CLASSES, names: imagenet::names() };
    let list = |text| classes.list("--class", text).map(|listed| listed.labels);
    let wanted = list("golden retriever, Golden_Retriever, n02099601,207").unwrap();
    assert_eq!(wanted, [207; 4]);
    let fault = list("crane").unwrap_err().to_string();
    assert_eq!(fault, "--class crane: several classes are: crane (134), crane (517)");
    let fault = list("golden retreiver").unwrap_err().to_string();
    assert!(fault.contains("near it: golden retriever (207)"), "{fault}");
    assert_eq!(of(&["n01440764", "n02102040"], "tench"), Ok((vec![0], String::new())));
}

#[test]
fn faults_say_what_there_is() {
    for number in ["7", "99999999999", "-2"] {
        let expected = format!("--class {number}: the model has classes 0 to 3, and -1 for none");
        assert_eq!(parsed(number), Err(expected.clone()));
        assert_eq!(parsed(&format!("0,{number}")), Err(expected));
    }
    let fault = |text| parsed(text).unwrap_err();
    assert_eq!(fault("0-9"), "--class 9: the model has classes 0 to 3, and -1 for none");
    assert_eq!(fault("2-1"), "--class 2-1: the range's start 2 is above its end 1");
    assert_eq!(fault("shirt"), "--class shirt: several classes are: T-shirt (0), Shirt dress (3)");
    let near = "--class trowser: no class is called that; near it: Trouser (1)";
    assert!(fault("trowser").starts_with(near), "{}", fault("trowser"));
    assert!(fault("").starts_with("--class : no class is called that"));
    let unnamed = Classes { count: 4, names: &[] }.list("--class", "cat").unwrap_err().to_string();
    assert_eq!(unnamed, "--class cat: the model does not name its classes: give numbers 0 to 3");
}
