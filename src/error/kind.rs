//! The stable names of errors and warnings, each with its exit status and its meaning.
//!
//! Scripts match these names in `--json` output and in records; messages may change, names do not. The lists here are the
//! only ones: the reference in `assets/cli.md` is generated from them.

#[cfg(test)]
mod tests;

use super::{BUG, FAILED, INTERRUPTED, NOT_STARTED, RETRY};

/// Defines an enum whose variants have a stable name and a meaning.
macro_rules! kinds {
    ($(#[$attribute:meta])* $Kind:ident { $($Variant:ident $name:literal $meaning:literal;)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Kind {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $Variant,)*
        }

        impl $Kind {
            /// All kinds, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$Variant,)*];

            /// Returns the stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)*
                }
            }

            /// Returns the meaning as one phrase, for the reference.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => $meaning,)*
                }
            }

            /// Returns the kind with this name; `None` for a name of another version.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$Variant),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $Kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl serde::Serialize for $Kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
pub(crate) use kinds;

/// Defines [`ErrorKind`] with the exit status of each kind.
macro_rules! error_kinds {
    ($($Variant:ident $name:literal $status:ident $meaning:literal;)*) => {
        kinds! {
            /// What went wrong, as a stable name for scripts.
            ErrorKind { $($Variant $name $meaning;)* }
        }

        impl ErrorKind {
            /// Returns the exit status of a command that ends with an error of this kind. Two errors differ from it:
            /// [`Error::Hub`](super::Error::Hub) has [`RETRY`] for a missing or damaged file, and an interrupt has 128 plus the signal's number.
            pub const fn exit_status(self) -> u8 {
                match self {
                    $(Self::$Variant => $status,)*
                }
            }
        }
    };
}

error_kinds! {
    InstructionSyntax "instruction.syntax" NOT_STARTED "the drag file is not JSON";
    InstructionNotUtf8 "instruction.not_utf8" NOT_STARTED "the drag file is not UTF-8";
    InstructionTooLarge "instruction.too_large" NOT_STARTED
        "the drag file has too many bytes, regions or points";
    InstructionVersion "instruction.version" NOT_STARTED "this version of drag files is not supported";
    InstructionType "instruction.type" NOT_STARTED "a value has the wrong JSON type";
    InstructionRange "instruction.range" NOT_STARTED "a value is out of its bounds";
    InstructionUnknownField "instruction.unknown_field" NOT_STARTED "a key is not known";
    InstructionMissingField "instruction.missing_field" NOT_STARTED "a required key is missing";
    InstructionDuplicateField "instruction.duplicate_field" NOT_STARTED "a key occurs twice";
    InstructionDuplicateId "instruction.duplicate_id" NOT_STARTED "two regions have the same id";
    InstructionConflict "instruction.conflict" NOT_STARTED "two keys are mutually exclusive";
    InstructionNoRegions "instruction.no_regions" NOT_STARTED "the drag file has no region";
    InstructionPointOutside "instruction.point_outside" NOT_STARTED "a point lies outside the image";
    InstructionPromptMissing "instruction.prompt_missing" NOT_STARTED
        "the drag method follows a text and there is no prompt";
    InstructionPromptTooLong "instruction.prompt_too_long" NOT_STARTED
        "the prompt is far longer than a text encoder reads";
    RegionHandleOutside "region.handle_outside" NOT_STARTED "a handle lies outside its region";
    RegionLeaves "region.leaves" NOT_STARTED "a region is dragged out of the image";
    RegionOutside "region.outside" NOT_STARTED "a region lies outside the image";
    RegionRotationCentre "region.rotation_centre" NOT_STARTED
        "a centre of rotation is missing, too far away, or on the handle or target";
    RegionMethod "region.method" NOT_STARTED "a region does not fit the drag method";
    RegionVanishes "region.vanishes" NOT_STARTED "a region is too small at working size";
    EditableEmpty "editable.empty" NOT_STARTED "the editable area is empty";
    MaskMissing "mask.missing" NOT_STARTED "a mask cannot be opened";
    MaskDecode "mask.decode" NOT_STARTED "a mask is not a readable picture";
    MaskSize "mask.size" NOT_STARTED "a mask differs in size from the picture";
    MaskEmpty "mask.empty" NOT_STARTED "a mask has no pixel inside";
    MaskShape "mask.shape" NOT_STARTED "a mask does not tell which pixels are inside";
    Setting "setting" NOT_STARTED "a setting is out of its bounds";
    File "file" NOT_STARTED "a file cannot be read";
    ImageMissing "image.missing" NOT_STARTED "a picture cannot be opened";
    ImageDecode "image.decode" NOT_STARTED "a picture is truncated or damaged";
    ImageUnsupported "image.unsupported" NOT_STARTED "a file is not a PNG, JPEG or WebP picture";
    ImageTooLarge "image.too_large" NOT_STARTED "a picture has too many pixels";
    ImageTooSmall "image.too_small" NOT_STARTED "a picture has too few pixels";
    ImageSize "image.size" NOT_STARTED "two pictures differ in size";
    OutputExists "output.exists" NOT_STARTED "the output exists and `--overwrite` is not given";
    OutputIsInput "output.is_input" NOT_STARTED "the output is also an input";
    OutputIsLink "output.is_link" NOT_STARTED "the output is a symbolic link";
    OutputNotAFile "output.not_a_file" NOT_STARTED "the output is not a regular file";
    OutputNotDistinct "output.not_distinct" NOT_STARTED "two outputs are the same file";
    OutputFolder "output.folder" NOT_STARTED "the output's folder cannot be used";
    OutputName "output.name" NOT_STARTED "the output's name is too long";
    OutputFormat "output.format" NOT_STARTED "the output's name does not end in .png";
    OutputAppeared "output.appeared" FAILED "another program created the output during the run";
    OutputWrite "output.write" FAILED "the output cannot be written";
    OutputVerify "output.verify" FAILED "the written output reads back differently";
    OutputDiskFull "output.disk_full" RETRY "the disk is full";
    WeightsMissing "weights.missing" NOT_STARTED
        "a model file is missing (status 75 for a model of the hub)";
    WeightsDamaged "weights.damaged" NOT_STARTED
        "a model file is damaged (status 75 for a model of the hub)";
    WeightsHash "weights.hash" RETRY "a downloaded or cached file does not have the expected hash";
    WeightsMismatch "weights.mismatch" NOT_STARTED "the weights do not fit the configuration";
    WeightsFormat "weights.format" NOT_STARTED "the weights are not safetensors";
    WeightsUnsupported "weights.unsupported" NOT_STARTED "this architecture is not supported";
    LoraMismatch "lora.mismatch" NOT_STARTED "the LoRA does not fit the model";
    HubUnreachable "hub.unreachable" RETRY "the hub cannot be reached, or the run is offline";
    HubRefused "hub.refused" NOT_STARTED "the hub denies access";
    HubNotFound "hub.not_found" NOT_STARTED "the hub does not have this model or revision";
    HubEndpoint "hub.endpoint" NOT_STARTED "`HF_ENDPOINT` is not the address of a hub";
    HubAnswer "hub.answer" RETRY "the hub sends an unexpected response";
    HubCache "hub.cache" RETRY "the hub's cache cannot be read or written";
    HubDiskFull "hub.disk_full" RETRY "the disk is too full for the model";
    DeviceNone "device.none" NOT_STARTED "the device does not exist or cannot be used";
    DeviceDtype "device.dtype" NOT_STARTED "the device does not support the number format";
    DeviceCheck "device.check" NOT_STARTED "the device does not compute what the CPU computes";
    DeviceRefused "device.refused" FAILED "a GPU library rejected a call";
    DeviceLost "device.lost" RETRY "the GPU stopped responding";
    ComputeOutOfMemory "compute.out_of_memory" FAILED "the GPU is out of memory";
    ComputeNotFinite "compute.not_finite" FAILED "a computed value is NaN or infinite";
    ComputeDiverged "compute.diverged" FAILED "an optimisation diverged";
    ShowNotPng "show.not_png" NOT_STARTED "the file is not a PNG";
    ShowNoReport "show.no_report" NOT_STARTED "the picture has no report";
    ShowDamaged "show.damaged" NOT_STARTED "the picture's report is damaged";
    ShowVersion "show.version" NOT_STARTED "the picture's report has an unknown version";
    CheckNoCases "check.no_cases" NOT_STARTED "there is no golden edit to check";
    CheckCase "check.case" NOT_STARTED "a golden edit lacks a file";
    CheckLimits "check.limits" NOT_STARTED "the limits of a golden edit cannot be read";
    CheckNoExpected "check.no_expected" NOT_STARTED "a golden edit has no expected picture";
    CheckFailed "check.failed" FAILED "at least one golden edit failed";
    CheckBlessed "check.blessed" FAILED "`--bless` replaced expected pictures";
    MethodsFailed "methods.failed" FAILED "at least one of several methods failed or does not fit the drag";
    CompareDiffers "compare.differs" FAILED "two pictures differ by more than the limits";
    ManifestLine "manifest.line" NOT_STARTED "a line of the manifest is invalid";
    ManifestEmpty "manifest.empty" NOT_STARTED "there is nothing to edit";
    ManifestName "manifest.name" NOT_STARTED "an id or path has characters that are not allowed";
    ManifestDuplicateId "manifest.duplicate_id" NOT_STARTED "two items have the same id";
    ManifestSameOutput "manifest.same_output" NOT_STARTED "two items have the same output";
    ManifestOutput "manifest.output" NOT_STARTED "an item's output is not a PNG or is an input";
    ManifestPathEscapes "manifest.path_escapes" NOT_STARTED "a path leads out of its folder";
    ManifestMissing "manifest.missing" NOT_STARTED "an input does not exist";
    ManifestNotAFile "manifest.not_a_file" NOT_STARTED "an input is not a regular file";
    ManifestNoDrag "manifest.no_drag" NOT_STARTED "an item has no drag file";
    ManifestElsewhere "manifest.elsewhere" NOT_STARTED
        "the list of remaining items is not in the manifest's folder";
    ItemGone "item.gone" FAILED "an input of an item was deleted during the run";
    BatchFailed "batch.failed" FAILED "at least one item failed";
    BatchFailures "batch.failures" FAILED "the limit of failures was reached";
    BatchTimeOver "batch.time_over" RETRY "the time limit was reached";
    BatchLocked "batch.locked" RETRY "another run works on the same records";
    BatchUnknownId "batch.unknown_id" NOT_STARTED "`--redo` names an unknown item";
    BatchInterrupted "batch.interrupted" INTERRUPTED "a signal stopped the batch (143 for SIGTERM)";
    RecordsUnreadable "records.unreadable" NOT_STARTED "a file of records cannot be read";
    ImportNothing "import.nothing" NOT_STARTED "a data set has no sample of the given kind";
    ImportDamaged "import.damaged" NOT_STARTED "a file of a data set is damaged or of another format";
    ImportRefused "import.refused" NOT_STARTED "a pickle holds more than data; nothing of it was run";
    ImportTooLarge "import.too_large" NOT_STARTED "a file or folder of a data set is too large";
    ImportMissing "import.missing" NOT_STARTED "a sample lacks a file";
    ImportOutside "import.outside" NOT_STARTED "a path of a data set leads out of its folder";
    ImportValue "import.value" NOT_STARTED "a sample has values that make no valid edit";
    ImportNoMotion "import.no_motion" NOT_STARTED "a drawn region has no line to its target";
    ImportFailed "import.failed" FAILED "at least one sample could not be imported";
    MergeIncomplete "merge.incomplete" FAILED "some items are not done";
    EvalNoEdits "eval.no_edits" NOT_STARTED "the folder of edits does not exist";
    EvalUnavailable "eval.unavailable" NOT_STARTED "a requested figure cannot be measured";
    EvalFailed "eval.failed" FAILED "some edits are missing or cannot be measured";
    Interrupted "interrupted" INTERRUPTED "a signal stopped the run (143 for SIGTERM)";
    Bug "bug" BUG "the program has a bug";
}

impl ErrorKind {
    /// Returns whether the cause is the place of the output, not the edit: the same edit can succeed with another output.
    pub const fn is_output(self) -> bool {
        matches!(
            self,
            Self::OutputExists
                | Self::OutputIsInput
                | Self::OutputIsLink
                | Self::OutputNotAFile
                | Self::OutputNotDistinct
                | Self::OutputFolder
                | Self::OutputName
                | Self::OutputFormat
                | Self::OutputAppeared
                | Self::OutputWrite
                | Self::OutputVerify
                | Self::OutputDiskFull
        )
    }
}

/// The kind of an error in a record that was read back; the record may come from another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedKind {
    /// A kind of this version.
    Known(ErrorKind),
    /// A name that this version does not know.
    Unknown(String),
}

impl RecordedKind {
    /// Returns the name as it stands in the record.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(kind) => kind.name(),
            Self::Unknown(name) => name,
        }
    }
}

impl From<&str> for RecordedKind {
    fn from(name: &str) -> Self {
        ErrorKind::from_name(name).map_or_else(|| Self::Unknown(name.to_owned()), Self::Known)
    }
}

impl std::fmt::Display for RecordedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl serde::Serialize for RecordedKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for RecordedKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::from(&*name))
    }
}
