//! Warnings: what a user should know although it does not stop the edit.

use serde::Serialize;

use crate::error::kinds;

kinds! {
    /// What a warning is about, as a stable name for scripts.
    WarningKind {
        RegionNoMotion "region.no_motion" "a region does not move and is left out";
        RegionOverlap "region.overlap" "two regions are dragged onto each other";
        RegionPoint "region.point" "a single point is dragged by a method that moves regions";
        RegionDetail "region.detail" "only a detail beside the handle stands out in a region, and is moved";
        RegionPartlyLeaves "region.partly_leaves" "a part of a region is dragged out of the image";
        RegionPartlyOutside "region.partly_outside" "a part of a region lies outside the image";
        RegionNotEditable "region.not_editable" "a target lies outside the editable area";
        RegionRotationRadius "region.rotation_radius"
            "handle and target differ in their distance from the centre of rotation";
        RegionScaleDirection "region.scale_direction"
            "handle and target of a scale lie in different directions from its centre";
        PromptCut "prompt.cut" "the text encoder does not read the end of the prompt";
        EmbeddingUnused "embedding.unused" "the prompt does not have the word of an embedding";
        EditPromptUnused "edit_prompt.unused" "the method does not use the drag file's edit_prompt";
        DragDiverged "drag.diverged" "the drag diverged and continued with the best latents";
        PictureEnlarged "picture.enlarged" "the edited area is enlarged and less sharp than the picture";
        ImageAnimated "image.animated" "only the first frame of an animation is edited";
        ImageC2pa "image.c2pa" "the picture's C2PA signature is left out of the result";
        ImageProfile "image.profile" "the colour profile is damaged or too large and is left out";
        ImageMetadata "image.metadata" "EXIF, XMP or text of the picture is damaged or too large and is left out";
        ImageCmyk "image.cmyk" "the picture is in CMYK and is converted to RGB";
        ImageTransparent "image.transparent" "every pixel of the picture is transparent";
        ImageDamaged "image.damaged" "a part of the picture is missing in its file";
        MaskLevels "mask.levels" "a mask is not white on black; what was assumed is inside";
        DeviceCpu "device.cpu" "no GPU can be used; the CPU is used instead";
        DeviceConvolutions "device.convolutions" "the GPU's library refused convolutions; slower kernels computed them";
        DeviceGraphs "device.graphs" "CUDA graphs could not be made; their operations were submitted one by one";
        DeviceBackend "device.backend" "our own kernels cannot be used; candle's are used instead";
        DeviceTrusted "device.trusted" "a GPU that failed its check is used because of `--trust-device`";
        LoraNotTrained "lora.not_trained" "nothing moves, so no LoRA is trained";
        LoraPartial "lora.partial" "the LoRA file covers only some of the attention layers";
        LikeModel "like.model" "`--like`: the model of the other picture is a folder and is not used";
        LikeSize "like.size" "`--like`: the two pictures differ in size";
        LikeVersion "like.version" "`--like`: the other picture was made by another version of the program";
        LikeLora "like.lora" "`--like`: the other picture was made with another LoRA file";
        LikeWeights "like.weights" "`--like`: the other picture was made with other weights";
        ShowAmount "show.amount" "a drag file cannot say how far the drag was carried out";
        DiagnosticsAbsent "diagnostics.absent" "the edit does not have all pictures of `--diagnostics`";
        CacheLimit "cache.limit" "the limit of the cache cannot be read";
        CacheRead "cache.read" "a cache entry cannot be read";
        CacheWrite "cache.write" "a cache entry cannot be written";
        CacheDamaged "cache.damaged" "a cache entry is damaged and is not used";
        BatchWithoutDrag "batch.without_drag" "pictures without a drag file are left out";
        BatchOtherFormats "batch.other_formats" "pictures in other formats are left out";
        BatchOwnResults "batch.own_results" "pictures that this program made beside their originals are left out";
        BatchOtherFolders "batch.other_folders" "folders in which other programs keep their copies are left out";
        BatchDragUnused "batch.drag_unused" "drag files without a picture that can be edited are left out";
        BatchLinks "batch.links" "symbolic links to folders are not followed";
        BatchOneByOne "batch.one_by_one"
            "the device could not compute the edits side by side; each is computed alone";
        BatchSheet "batch.sheet" "a contact sheet cannot be written";
        BatchTornRecord "batch.torn_record" "the last record of a killed run was truncated";
        ImportType "import.type" "the source does not say how a region moves; a type was chosen";
        ImportMethod "import.method" "the source has points without regions; a method for points was chosen";
        ImportRegion "import.region" "the source has no region for a handle; a point was chosen";
        ImportCenter "import.center" "the source has no centre of a rotation or scale; one was chosen";
        ImportMotion "import.motion" "the source has no motion of a region; that of `--move` was chosen";
        ImportEditable "import.editable" "the source's editable area is empty; everything may change";
        ImportLeftOut "import.left_out" "a part of a sample has no meaning for a drag and is left out";
    }
}

/// A doubtful condition that does not stop an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The message for people.
    pub message: String,
}
