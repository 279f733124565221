//! Commands that operations give a GPU, and faults that the emulator sees.

use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use super::elementwise::Unary;
use super::{Elementwise, Embedding, SOURCES};
use crate::capture::Capture;
use crate::cuda::command::Command;
use crate::cuda::driver::recording::{DriverCall, Recording};
use crate::cuda::testing::kernels;
use crate::cuda::{Cuda, CudaError, Dtype, Precision, Remote};
use crate::memory::{Device, Floats};

/// A recording GPU and its record.
fn recorded(graphs: bool) -> (Recording, Cuda) {
    let gpu = Recording::with_memory(1 << 30);
    let cuda = Cuda::on(Arc::new(gpu.clone()), Precision::F16, graphs).unwrap();
    (gpu, cuda)
}

/// A section of five kernels, the first of which reads two indices.
fn work(cuda: &Cuda, run: &mut Remote, indices: [u32; 2]) -> Result<(), CudaError> {
    cuda.capture(&mut || {
        let (a, rest) = run.split_at_mut(16);
        let (b, table) = rest.split_at_mut(16);
        cuda.embedding(a, table, &indices, 8)?;
        for _ in 0..2 {
            cuda.map(b, a, Unary::Silu)?;
            cuda.map(a, b, Unary::Silu)?;
        }
        Ok(())
    })
}

fn kinds(asked: &[DriverCall]) -> Vec<&'static str> {
    asked
        .iter()
        .map(|asked| match asked {
            DriverCall::Enqueue(_) => "issue",
            DriverCall::Capture(_) => "capture",
            DriverCall::Launch(_) => "launch",
            DriverCall::Upload(..) => "upload",
            DriverCall::Download(..) => "download",
        })
        .collect()
}

#[test]
fn section_is_a_graph_from_its_second_time_on() {
    let (gpu, cuda) = recorded(true);
    let mut memory = cuda.memory(64).unwrap();
    work(&cuda, &mut memory, [0, 1]).unwrap();
    let first = ["upload", "issue", "issue", "issue", "issue", "issue"];
    assert_eq!(kinds(&gpu.take()), first);
    work(&cuda, &mut memory, [2, 3]).unwrap();
    let again = gpu.take();
    assert_eq!(again[0], DriverCall::Capture(5));
    assert_eq!(again[1], DriverCall::Launch(vec![2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    work(&cuda, &mut memory, [1, 1]).unwrap();
    assert_eq!(kinds(&gpu.take()), ["launch"]);
    // Other memory: another section.
    let mut other = cuda.memory(64).unwrap();
    work(&cuda, &mut other, [0, 1]).unwrap();
    assert_eq!(kinds(&gpu.take()), first);
}

#[test]
fn every_kernel_says_how_many_threads_a_block_has() {
    for source in SOURCES {
        for name in kernels::names(source) {
            let threads = kernels::threads(source, &name);
            assert!(matches!(threads, Some(128 | 256)), "{name} of {}: {threads:?}", source.name);
        }
    }
}

#[test]
fn commands_without_graphs_are_asked_one_by_one() {
    let (gpu, cuda) = recorded(false);
    let mut memory = cuda.memory(64).unwrap();
    for _ in 0..3 {
        work(&cuda, &mut memory, [0, 1]).unwrap();
        assert_eq!(kinds(&gpu.take()).len(), 6);
    }
}

#[test]
fn section_that_fails_asks_for_nothing() {
    let (gpu, cuda) = recorded(true);
    let mut memory = cuda.memory(64).unwrap();
    let run: &mut Remote = &mut memory;
    let outcome = cuda.capture(&mut || {
        let (a, b) = run.split_at_mut(32);
        cuda.map(a, b, Unary::Silu)?;
        Err(CudaError::NoCompiler)
    });
    assert_eq!((outcome, gpu.take()), (Err(CudaError::NoCompiler), Vec::new()));
    let run: &mut Remote = &mut memory;
    let (a, b) = run.split_at_mut(32);
    cuda.map(a, b, Unary::Silu).unwrap();
    assert_eq!(kinds(&gpu.take()), ["issue"]);
}

#[test]
#[should_panic(expected = "a section reads nothing back")]
fn section_that_reads_back_is_refused() {
    let (_, cuda) = recorded(true);
    let memory = cuda.memory(1).unwrap();
    let _ = cuda.capture(&mut || cuda.download(&mut [0.0], &memory));
}

#[test]
fn memory_too_small_says_both_numbers() {
    let (_, cuda) = recorded(true);
    match cuda.memory(1 << 28).map(|memory| memory.len()) {
        Err(CudaError::OutOfMemory { asked, free, .. }) => {
            assert_eq!(asked, 1 << 30);
            assert!(free < 1 << 30 && free > 1 << 29);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn short_numbers_are_widened_for_who_wants_singles() {
    let (gpu, cuda) = recorded(true);
    let mut memory = cuda.memory(48).unwrap();
    let run: &mut Remote = &mut memory;
    let (a, rest) = run.split_at_mut(16);
    let (b, c) = rest.split_at_mut(16);
    cuda.map(b, a, Unary::Gelu).unwrap();
    cuda.map(c, b, Unary::Silu).unwrap();
    cuda.map(b, a, Unary::Silu).unwrap();
    cuda.map(c, b, Unary::Silu).unwrap();
    let names = gpu.take().into_iter().map(|asked| match asked {
        DriverCall::Enqueue(Command::Launch(launch)) => launch.kernel.name,
        other => panic!("{other:?}"),
    });
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["gelu_half", "widen_run", "silu", "silu", "silu"]);
}

#[test]
fn converted_run_is_kept_until_it_is_written() {
    let (gpu, cuda) = recorded(true);
    let mut memory = cuda.memory(48).unwrap();
    let run: &mut Remote = &mut memory;
    let (a, rest) = run.split_at_mut(16);
    let (b, c) = rest.split_at_mut(16);
    let kept = |run: &Remote| cuda.operand_cached(run, Dtype::F16).unwrap();
    assert_eq!(kept(a), kept(a));
    cuda.map(b, c, Unary::Silu).unwrap();
    kept(a);
    cuda.map(a, c, Unary::Silu).unwrap();
    kept(a);
    kept(b);
    let failed = cuda.capture(&mut || {
        kept(c);
        Err(CudaError::NoCompiler)
    });
    assert!(failed.is_err());
    kept(c);
    let names = gpu.take().into_iter().map(|asked| match asked {
        DriverCall::Enqueue(Command::Launch(launch)) => launch.kernel.name,
        other => panic!("{other:?}"),
    });
    let names: Vec<&str> = names.collect();
    let narrow = "narrow_run";
    assert_eq!(names, [narrow, "silu", "silu", narrow, narrow, narrow]);
}

mod emulated {
    use super::*;
    use crate::cuda::command::Launch;
    use crate::cuda::kernel_source::{Kernel, KernelSource};
    use crate::cuda::testing::emulated_f32;

    static WRONG: KernelSource = KernelSource::new(
        "wrong",
        "
KERNEL(64) void divergent_barrier(float* out) { if (threadIdx.x < 40) __syncthreads(); __syncwarp(); }
KERNEL(64) void missing_lanes(float* out) { if (threadIdx.x != 5) out[0] = warp_sum(1.0f); }
KERNEL(64) void different_operations(float* out) {
    if (threadIdx.x % 2) __syncwarp(); else out[0] = warp_sum(1.0f);
}
KERNEL(64) void not_waited_for(float* out, const float* x) {
    DYNAMIC_SHARED(shared);
    if (threadIdx.x == 0) copy_16_async(shared, x, true);
    commit_copies();
    __syncthreads();
    out[threadIdx.x % 4] = ((float*)shared)[threadIdx.x % 4];
}
KERNEL(64) void no_barrier(float* out) {
    __shared__ float between[64];
    between[threadIdx.x] = out[threadIdx.x];
    out[threadIdx.x] = between[63 - threadIdx.x];
}
KERNEL(32) void too_many_threads(float* out) {}
KERNEL(64) void too_few_arguments(float* out, const float* x) {}
KERNEL(64) void past_the_end(float* out) { if (threadIdx.x == 0) out[5] = 1.0f; }
",
    );

    fn run(
        cuda: &Cuda,
        name: &'static str,
        out: &mut Remote,
        x: Option<&Remote>,
    ) -> Result<(), CudaError> {
        let launch = Launch::new(Kernel::new(&WRONG, name), [1, 1, 1], 64).sharing(64).slice(out);
        let launch = if let Some(x) = x { launch.slice(x) } else { launch };
        cuda.launch(launch, [(out, Dtype::F32)])
    }

    #[test]
    fn emulator_names_what_is_wrong() {
        let Some(cuda) = emulated_f32() else { return };
        let mut out = cuda.memory(64).unwrap();
        for (name, wrong) in [
            ("divergent_barrier", "wait for others that wait at a barrier"),
            ("missing_lanes", "lanes are missing"),
            ("different_operations", "different operations"),
            ("no_such_kernel", "no such kernel"),
            ("too_many_threads", "of 64 threads, the text says 32"),
            ("too_few_arguments", "it has 2 parameters, 1 arguments are given"),
        ] {
            match run(&cuda, name, &mut out, None) {
                Err(CudaError::Launch { kernel, reason }) => {
                    assert_eq!(kernel, name);
                    assert!(reason.contains(wrong), "{name}: {reason}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn copies_not_waited_for_and_missing_barriers_show() {
        let Some(cuda) = emulated_f32() else { return };
        let (mut out, mut x) = (cuda.memory(64).unwrap(), cuda.memory(4).unwrap());
        cuda.upload(&mut x, &[1.0; 4]).unwrap();
        run(&cuda, "not_waited_for", &mut out, Some(&x)).unwrap();
        let mut read = [0.0; 4];
        cuda.download(&mut read, out.range(0..4)).unwrap();
        assert!(read.iter().all(|x| x.is_nan()));

        let values: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let (mut seen, mut read) = (Vec::new(), [0.0; 64]);
        for _ in 0..4 {
            cuda.upload(&mut out, &values).unwrap();
            run(&cuda, "no_barrier", &mut out, None).unwrap();
            cuda.download(&mut read, &out).unwrap();
            seen.push(read.map(f32::to_bits));
        }
        assert!(seen.iter().any(|other| *other != seen[0]), "every order gave the same");
    }

    #[test]
    #[should_panic(expected = "bytes past an allocation's end")]
    fn writes_past_the_end_show() {
        let Some(cuda) = emulated_f32() else {
            panic!("bytes past an allocation's end: no emulator")
        };
        let mut out = cuda.memory(5).unwrap();
        run(&cuda, "past_the_end", &mut out, None).unwrap();
    }

    #[test]
    fn graph_computes_what_its_commands_do() {
        let Some(cuda) = emulated_f32() else { return };
        let mut memory = cuda.memory(64).unwrap();
        let table: Vec<f32> = (0..32).map(|i| i as f32 / 8.0 - 2.0).collect();
        let mut results = Vec::new();
        for indices in [[0, 1], [2, 3], [3, 1], [0, 1]] {
            let run: &mut Remote = &mut memory;
            cuda.upload(run.range_mut(32..64), &table).unwrap();
            work(&cuda, run, indices).unwrap();
            let mut read = [0.0; 16];
            cuda.download(&mut read, run.range(0..16)).unwrap();
            results.push(read);
            let mut want: Vec<f64> = indices
                .iter()
                .flat_map(|i| &table[*i as usize * 8..][..8])
                .map(|x| f64::from(*x))
                .collect();
            for _ in 0..4 {
                want.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
            }
            assert!(read.iter().zip(&want).all(|(x, want)| (f64::from(*x) - want).abs() < 1e-6));
        }
        assert_eq!(results[0], results[3]);
    }
}
