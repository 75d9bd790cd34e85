//! Graphs of the emulated GPU.

use dragnext::kernels::cuda::driver::{Graph, RecordedOperation};
use dragnext::kernels::fault::DeviceFault;

use super::Emulated;

/// How the emulated GPU makes graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphSupport {
    /// It can.
    Full,
    /// A call is not permitted during the capture.
    Refused,
    /// There is no memory for a graph.
    OutOfMemory,
    /// There is no memory for the launch of a graph.
    LaunchOutOfMemory,
    /// A launch leaves the last operation out.
    Wrong,
}

/// A shortage of which nothing is known.
const NO_MEMORY: DeviceFault = DeviceFault::OutOfMemory {
    need: 0,
    free: 0,
    total: 0,
};

/// A graph of the emulated GPU: it submits its operations one by one.
#[derive(Debug)]
struct EmulatedGraph {
    gpu: Emulated,
    operations: Vec<RecordedOperation>,
}

impl Graph for EmulatedGraph {
    fn launch(&self) -> Result<(), DeviceFault> {
        if self.gpu.graphs == GraphSupport::LaunchOutOfMemory {
            return Err(NO_MEMORY);
        }
        self.gpu.count("graph", 0, 0);
        let is_wrong = self.gpu.graphs == GraphSupport::Wrong;
        let count = self.operations.len() - usize::from(is_wrong);
        for recorded in &self.operations[..count] {
            recorded.resubmit(|operation| operation.submit(&self.gpu))?;
        }
        Ok(())
    }
}

impl GraphSupport {
    /// Makes a graph.
    pub(super) fn graph(
        self,
        gpu: &Emulated,
        operations: &[RecordedOperation],
    ) -> Result<Box<dyn Graph>, DeviceFault> {
        match self {
            Self::Full | Self::LaunchOutOfMemory | Self::Wrong => Ok(Box::new(EmulatedGraph {
                gpu: gpu.clone(),
                operations: operations.to_vec(),
            })),
            Self::Refused => Err(DeviceFault::Refused {
                call: "cuStreamEndCapture".to_owned(),
                reason: "refused by the test".to_owned(),
            }),
            Self::OutOfMemory => Err(NO_MEMORY),
        }
    }
}
