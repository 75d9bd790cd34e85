//! Graphs: what a capture does not permit fails as with the real driver, and operations can be submitted
//! one by one after that.

use dragnext::kernels::cuda::device::CudaDevice;
use dragnext::kernels::cuda::driver::{
    Address, ConvolutionData, Direction, Driver, Format, Gemm, KernelArgument, Launch, MatrixView,
    Operation, RecordedOperation,
};
use dragnext::kernels::fault::DeviceFault;

use super::convolutions::shape;
use super::fakes::{add, bytes, download, integers, open, runs_a_case, upload};

/// Values of each buffer.
const LEN: usize = 1000;

/// A device with buffers, and one operation of each kind on them.
struct Work {
    device: CudaDevice,
    input: Address,
    weight: Address,
    outputs: [Address; 4],
}

impl Work {
    fn new() -> Self {
        let device = open();
        let [input, weight] = [1, 2].map(|seed| upload(&device, &integers(LEN, seed)));
        let outputs = [(); 4].map(|()| upload(&device, &[0.0; LEN]));
        Self {
            device,
            input,
            weight,
            outputs,
        }
    }

    /// Calls `visit` with every operation, in order.
    fn each(&self, visit: &mut dyn FnMut(&Operation)) {
        let [sum, product, y, dx] = self.outputs;
        let matrix = |address| MatrixView {
            address,
            format: Format::F32,
            stride: 4,
            batch_stride: 0,
        };
        visit(&Operation::Clear {
            to: sum,
            bytes: 4 * LEN,
        });
        visit(&Operation::Copy {
            from: self.input,
            to: sum,
            bytes: 400,
        });
        let arguments = [
            KernelArgument::Pointer(sum),
            KernelArgument::U32(LEN as u32),
            KernelArgument::F32(0.5),
        ];
        visit(&Operation::Launch(Launch {
            kernel: "add_value",
            blocks: [1; 3],
            threads: 256,
            shared: 0,
            arguments: &arguments,
        }));
        visit(&Operation::Gemm(Gemm {
            rows: 4,
            cols: 4,
            inner: 4,
            batch: 1,
            alpha: 2.0,
            a: matrix(sum),
            a_transposed: false,
            b: matrix(self.weight),
            b_transposed: true,
            c: matrix(product),
            add: None,
            bias: Some(self.weight),
        }));
        let data = |from, to, bias, residual| ConvolutionData {
            from,
            weight: self.weight,
            to,
            bias,
            residual,
        };
        let forward = data(self.input, y, Some(self.weight), Some(sum));
        visit(&Operation::Convolution(shape(Direction::Forward), forward));
        visit(&Operation::Convolution(
            shape(Direction::Backward),
            data(y, dx, None, None),
        ));
    }

    /// Submits the operations and returns them.
    fn record(&self) -> Vec<RecordedOperation> {
        let mut recorded = Vec::new();
        self.each(&mut |operation| {
            let outcome = operation.submit(&self.device);
            assert!(outcome.is_ok(), "{outcome:?}");
            recorded.push(RecordedOperation::new(operation, outcome));
        });
        recorded
    }

    fn results(&self) -> [Vec<f32>; 4] {
        self.outputs
            .map(|address| download(&self.device, address, LEN))
    }

    /// Returns what the operations compute from these inputs when they are submitted one by one.
    fn expected(&self, seed: usize) -> [Vec<f32>; 4] {
        self.set_inputs(seed);
        self.record();
        self.results()
    }

    fn set_inputs(&self, seed: usize) {
        let write = |to, seed| self.device.write(to, &bytes(&integers(LEN, seed)));
        write(self.input, seed).expect("the write succeeds");
        write(self.weight, seed + 1).expect("the write succeeds");
    }

    /// Overwrites the results.
    fn clear(&self) {
        for output in self.outputs {
            let zeros = vec![0; 4 * LEN];
            self.device
                .write(output, &zeros)
                .expect("the write succeeds");
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for address in self.outputs.into_iter().chain([self.input, self.weight]) {
            self.device.free(address);
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_graph_computes_what_its_operations_do() {
    if runs_a_case() {
        let work = Work::new();
        let recorded = work.record();
        let graph = work.device.graph(&recorded).expect("a graph can be made");
        work.clear();
        assert!(
            work.results().iter().flatten().all(|value| *value == 0.0),
            "a capture computes nothing"
        );
        for seed in [1, 8, 9] {
            let expected = work.expected(seed);
            work.clear();
            graph.launch().expect("the launch succeeds");
            assert_eq!(work.results(), expected, "with inputs {seed}");
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_graph_keeps_the_workspace_that_it_uses() {
    if runs_a_case() {
        let work = Work::new();
        let recorded = work.record();
        let graph = work.device.graph(&recorded).expect("a graph can be made");
        let expected = work.expected(3);
        work.clear();
        work.device.trim().expect("the GPU is there");
        graph.launch().expect("the launch succeeds");
        assert_eq!(work.results(), expected);
        // The workspace was returned, and a capture cannot allocate another one.
        let fault = work.device.graph(&recorded).expect_err("no workspace");
        assert!(
            matches!(&fault, DeviceFault::Refused { reason, .. } if reason.contains("workspace")),
            "{fault:?}"
        );
        assert_eq!(work.expected(3), expected);
        work.device.graph(&recorded).expect("a graph can be made");
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn after_a_failed_capture_operations_are_submitted() {
    if runs_a_case() {
        let work = Work::new();
        let recorded = work.record();
        let expected = work.expected(5);
        let fault = work.device.graph(&recorded).expect_err("the capture fails");
        let is_short = std::env::var("FAKE_FAIL")
            .is_ok_and(|failure| failure.starts_with("cuGraphInstantiateWithFlags:2"));
        assert!(
            match fault {
                DeviceFault::OutOfMemory { .. } => is_short,
                DeviceFault::Refused { .. } => !is_short,
                DeviceFault::Lost { .. } => false,
            },
            "{fault:?}"
        );
        work.clear();
        assert_eq!(work.expected(5), expected);
        assert_eq!(
            work.device.refused_convolutions(),
            [],
            "a refusal during a capture is not remembered"
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_graph_that_loses_the_gpu_is_a_lost_gpu() {
    if runs_a_case() {
        let work = Work::new();
        let recorded = work.record();
        let graph = work.device.graph(&recorded).expect("a graph can be made");
        let fault = graph.launch().expect_err("the GPU is lost");
        assert!(matches!(fault, DeviceFault::Lost { .. }), "{fault:?}");
        // Every later call says what happened first.
        assert_eq!(graph.launch(), Err(fault.clone()));
        assert_eq!(work.device.clear(work.input, 4), Err(fault.clone()));
        let later = work.device.graph(&recorded).expect_err("the GPU is lost");
        assert_eq!(later, fault);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_launch_without_memory_submits_nothing() {
    if runs_a_case() {
        let work = Work::new();
        let recorded = work.record();
        let graph = work.device.graph(&recorded).expect("a graph can be made");
        let expected = work.expected(4);
        work.clear();
        let fault = graph.launch().expect_err("memory is short");
        assert!(
            matches!(fault, DeviceFault::OutOfMemory { .. }),
            "{fault:?}"
        );
        assert!(work.results().iter().flatten().all(|value| *value == 0.0));
        assert_eq!(work.expected(4), expected);
    }
}

/// A capture would take the operation of another thread for its own, and it would not run.
#[test]
#[ignore = "run by every_case_passes"]
fn other_threads_wait_for_a_capture() {
    if runs_a_case() {
        const LAUNCHES: usize = 2000;
        let work = Work::new();
        let recorded = work.record();
        let counter = upload(&work.device, &[0.0]);
        let graphs: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..LAUNCHES {
                    add(&work.device, "add_value", counter, 1, 1.0, 0)
                        .expect("the launch succeeds");
                }
            });
            let graphs = (0..100).map(|_| work.device.graph(&recorded));
            graphs.collect()
        });
        assert_eq!(download(&work.device, counter, 1), [LAUNCHES as f32]);
        let expected = work.expected(6);
        for graph in graphs {
            work.clear();
            let graph = graph.expect("a graph can be made");
            graph.launch().expect("the launch succeeds");
            assert_eq!(work.results(), expected);
        }
        assert_eq!(download(&work.device, counter, 1), [LAUNCHES as f32]);
        work.device.free(counter);
    }
}
