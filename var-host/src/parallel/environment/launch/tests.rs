use super::*;

#[track_caller]
fn launch(pairs: &[(&'static str, &str)]) -> Launch {
    Launch::read(&Variables::of(pairs), false).unwrap()
}

#[test]
fn process_without_variables_is_alone() {
    let alone = Launch::ALONE;
    assert_eq!(launch(&[]), alone);
    let batch_script = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
    assert_eq!(launch(&batch_script), alone);
    assert_eq!(launch(&[("SLURM_NTASKS", "4")]), alone);
    // R01b: an address exported for a later srun makes the script no task of it.
    let exported = [&batch_script[..], &[("MASTER_ADDR", "node1")]].concat();
    assert_eq!(launch(&exported), alone);
    for step in ["4294967291", "4294967290", "batch"] {
        let interactive = [&batch_script[..], &[("SLURM_STEP_ID", step)]].concat();
        assert_eq!(launch(&interactive), alone, "{step}");
    }
    let said = |pairs| unstarted_tasks(&Variables::of(pairs));
    let line = "one process alone: SLURM_NTASKS is 4, but srun did not start this one";
    assert_eq!(said(&batch_script).as_deref(), Some(line));
    assert_eq!(said(&[("SLURM_NTASKS", "1"), ("SLURM_PROCID", "0")]), None);
    assert_eq!(said(&[&batch_script[..], &[("SLURM_STEP_ID", "0")]].concat()), None);
}

#[test]
fn every_launcher_is_understood() {
    let torchrun = [("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")];
    let open_mpi = [
        ("OMPI_COMM_WORLD_RANK", "5"),
        ("OMPI_COMM_WORLD_SIZE", "8"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
    ];
    let mpich = [("PMI_RANK", "5"), ("PMI_SIZE", "8"), ("MPI_LOCALRANKID", "1")];
    let slurm = [
        ("SLURM_PROCID", "5"),
        ("SLURM_NTASKS", "8"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.1"),
    ];
    let expected = |launcher: Launcher| {
        let [rank_name, size_name, ..] = launcher.names();
        let variables = match launcher {
            Launcher::Slurm => [rank_name, "SLURM_NTASKS"],
            _ => [rank_name, size_name],
        };
        let (local_rank, local_size) = (Some(1), None);
        Launch { launcher, rank: 5, size: 8, local_rank, local_size, variables }
    };
    assert_eq!(launch(&torchrun), expected(Launcher::Torchrun));
    assert_eq!(launch(&open_mpi), expected(Launcher::OpenMpi));
    assert_eq!(launch(&mpich), expected(Launcher::Mpich));
    assert_eq!(launch(&slurm), expected(Launcher::Slurm));
}

#[test]
fn nearest_launcher_counts() {
    let slurm = [
        ("SLURM_PROCID", "0"),
        ("SLURM_NTASKS", "2"),
        ("SLURM_STEP_NUM_TASKS", "1"),
        ("SLURM_STEP_ID", "0"),
    ];
    assert_eq!((launch(&slurm).launcher, launch(&slurm).size), (Launcher::Slurm, 1));
    let inner = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")];
    let both = [&slurm[..], &inner].concat();
    assert_eq!((launch(&both).rank, launch(&both).size), (3, 4));
    let line = "rank 3 of 4, from OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE";
    assert_eq!(launch(&both).share().as_deref(), Some(line));
    let elastic = [("RANK", "6"), ("WORLD_SIZE", "7"), ("TORCHELASTIC_RUN_ID", "none")];
    let torchrun = [&both[..], &elastic].concat();
    assert_eq!((launch(&torchrun).rank, launch(&torchrun).size), (6, 7));
    // By hand over one task of SLURM.
    let by_hand = [&slurm[..], &elastic[..2]].concat();
    assert_eq!((launch(&by_hand).rank, launch(&by_hand).size), (6, 7));
}

/// R01b.
#[test]
fn ranks_by_hand_must_agree_with_a_launcher() {
    let slurm = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4"), ("SLURM_STEP_ID", "0")];
    let with = |by_hand: [(&'static str, &'static str); 2]| [&slurm[..], &by_hand].concat();
    assert_eq!(launch(&with([("RANK", "1"), ("WORLD_SIZE", "4")])).launcher, Launcher::Torchrun);
    for (by_hand, says) in [
        ([("RANK", "0"), ("WORLD_SIZE", "4")], "RANK and WORLD_SIZE in the environment say 0 of 4"),
        ([("RANK", "1"), ("WORLD_SIZE", "2")], "RANK and WORLD_SIZE in the environment say 1 of 2"),
        ([("RANK", "0"), ("WORLD_SIZE", "1")], "RANK and WORLD_SIZE in the environment say 0 of 1"),
    ] {
        let error = Launch::read(&Variables::of(&with(by_hand)), false).unwrap_err();
        let other = "SLURM_PROCID and SLURM_NTASKS 1 of 4: unset one pair, or VAR_ALONE=1";
        assert_eq!(error.to_string(), format!("{says}, {other}"));
    }
}

/// R01b.
#[test]
fn variables_of_an_interactive_shell_are_refused() {
    let shell = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_STEP_ID", "0")];
    assert_eq!(Launch::read(&Variables::of(&shell), false).unwrap().size, 4);
    let error = Launch::read(&Variables::of(&shell), true).unwrap_err().to_string();
    let says = "SLURM_PROCID and SLURM_NTASKS in the environment say 0 of 4";
    assert!(error.starts_with(says) && error.contains("a terminal"), "{error}");
    let alone = [&shell[..], &[("VAR_ALONE", "1")]].concat();
    assert_eq!(Launch::read(&Variables::of(&alone), true), Ok(Launch::ALONE));
    let one = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1"), ("SLURM_STEP_ID", "0")];
    assert_eq!(Launch::read(&Variables::of(&one), true).unwrap().size, 1);
}

#[test]
fn process_that_is_alone_on_purpose_is_alone() {
    let stale = [("RANK", "1"), ("VAR_ALONE", "1")];
    assert_eq!(launch(&stale), Launch::ALONE);
    assert_eq!(launch(&stale).share(), None);
    assert_eq!(launch(&[("RANK", "1"), ("WORLD_SIZE", "2"), ("VAR_ALONE", "0")]).size, 2);
    let error = Launch::read(&Variables::of(&[("VAR_ALONE", "yes")]), false).unwrap_err();
    assert_eq!(error.to_string(), "VAR_ALONE in the environment: \"yes\" is neither 0 nor 1");
}

#[test]
fn gpus_go_by_the_number_on_the_machine() {
    let gpu_of = |pairs: &[(&'static str, &str)], visible| {
        launch(pairs).gpu_of(visible).map_err(|error| error.to_string())
    };
    let gpu = |pairs: &[(&'static str, &str)]| gpu_of(pairs, None);
    let ranks = [("RANK", "5"), ("WORLD_SIZE", "8")];
    assert_eq!(gpu(&[]), Ok(0));
    assert_eq!(gpu(&[&ranks[..], &[("LOCAL_RANK", "1")]].concat()), Ok(1));
    let message = "RANK is 5 of 8 in the environment, LOCAL_RANK is not set: which GPU is this \
                   rank's? Set it, or give --device cuda:N";
    assert_eq!(gpu(&ranks), Err(message.to_owned()));
    let slurm = [
        ("SLURM_PROCID", "5"),
        ("SLURM_NTASKS", "8"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_LOCALID", "1"),
    ];
    assert_eq!(gpu(&slurm), Ok(1));
    assert_eq!((gpu_of(&slurm, Some("3")), gpu_of(&slurm, Some("2,3"))), (Ok(0), Ok(1)));
}

#[test]
fn lone_size_of_one_is_enough() {
    assert_eq!(launch(&[("WORLD_SIZE", "1")]).size, 1);
}

#[test]
fn contradictions_are_refused_by_name() {
    for (pairs, message) in [
        (&[("RANK", "3"), ("WORLD_SIZE", "3")][..], "RANK is 3 in the environment, WORLD_SIZE 3"),
        (&[("RANK", "0"), ("WORLD_SIZE", "0")], "RANK is 0 in the environment, WORLD_SIZE 0"),
        (&[("WORLD_SIZE", "2")], "WORLD_SIZE is 2 in the environment, RANK is not set"),
        (&[("RANK", "1")], "RANK is 1 in the environment, WORLD_SIZE is not set"),
        (&[("LOCAL_RANK", "1")], "LOCAL_RANK is 1 in the environment, RANK is not set"),
        (&[("LOCAL_WORLD_SIZE", "2")], "LOCAL_WORLD_SIZE is 2 in the environment, RANK is not set"),
        (&[("RANK", "x"), ("WORLD_SIZE", "2")], "RANK in the environment: \"x\" is no number"),
        (&[("RANK", "-1"), ("WORLD_SIZE", "2")], "RANK in the environment: \"-1\" is no number"),
        (&[("RANK", ""), ("WORLD_SIZE", "2")], "RANK in the environment: \"\" is no number"),
        (&[("PMI_RANK", "1")], "PMI_RANK is 1 in the environment, PMI_SIZE is not set"),
        (
            &[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "2")],
            "LOCAL_RANK is 2 in the environment, WORLD_SIZE 2",
        ),
        (
            &[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "3")],
            "LOCAL_WORLD_SIZE is 3 in the environment, WORLD_SIZE 2",
        ),
        (
            &[("RANK", "2"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "2"), ("LOCAL_WORLD_SIZE", "2")],
            "LOCAL_RANK is 2 in the environment, LOCAL_WORLD_SIZE 2",
        ),
        (
            &[("SLURM_PROCID", "4"), ("SLURM_STEP_NUM_TASKS", "4")],
            "SLURM_PROCID is 4 in the environment, SLURM_STEP_NUM_TASKS 4",
        ),
    ] {
        let error = Launch::read(&Variables::of(pairs), false).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
