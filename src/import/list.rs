//! What is known of each kind, for `dragnext import --list`.

use std::fmt::Write;

use crate::foreign::Kind;

/// What is known of a kind.
struct About {
    source: &'static str,
    layout: &'static str,
    drags: &'static str,
}

const fn about(kind: Kind) -> About {
    match kind {
        Kind::DragBench => About {
            source: "DragBench of DragDiffusion, arXiv 2306.14435",
            layout: "CATEGORY/SAMPLE/{original_image.png, meta_data.pkl}",
            drags: "points; the mask is the editable area",
        },
        Kind::DragBenchDr => About {
            source: "DragBench-DR of RegionDrag, arXiv 2407.18247",
            layout: "CATEGORY/SAMPLE/{original_image.png, meta_data_region.pkl, meta_data.pkl}",
            drags: "regions from copied cells: a translation, or the affine map that fits them; points for metrics as `x-points`",
        },
        Kind::DragBenchSr => About {
            source: "DragBench-SR of RegionDrag, and the set of SDE-Drag, arXiv 2311.01410",
            layout: "SAMPLE/ as dragbench-dr, or SAMPLE/{origin_image.png, mask.png, prompt.json}",
            drags: "as dragbench-dr, or points",
        },
        Kind::Drag100 => About {
            source: "Drag100 of GoodDrag, arXiv 2404.07206",
            layout: "SAMPLE/{original.jpg, mask.png, points.json}",
            drags: "points; the mask is the editable area",
        },
        Kind::NextBench => About {
            source: "NextBench of DragNeXt, arXiv 2506.07611, as its page saves it",
            layout: "SAMPLE/{trans_deform, rot, hybrid}/{image.jpg, points.json, editable_region_mask.png, handle_region_mask.png, user_intention.json}",
            drags: "rotations with their centres; the rest as translations, since the files do not tell deformations from them",
        },
        Kind::RedBench => About {
            source: "ReD Bench of DragFlow, arXiv 2510.02253",
            layout: "NAME.json with region_operations, a picture and masks beside it",
            drags: "regions with their types; points where a mask is missing",
        },
        Kind::Labelme => About {
            source: "labelme",
            layout: "NAME.json beside the picture, or with the picture inside",
            drags: "as drawn",
        },
        Kind::Coco => About {
            source: "COCO annotations: polygons, run lengths, boxes, key points",
            layout: "one JSON file; --images DIR for the pictures",
            drags: "as drawn; key points `handle`, `target`, `center`, `anchor`",
        },
        Kind::Via => About {
            source: "VGG Image Annotator 1 and 2",
            layout: "a project, or its annotations as JSON or CSV; --images DIR for the pictures",
            drags: "as drawn",
        },
        Kind::LabelStudio => About {
            source: "Label Studio",
            layout: "tasks as JSON; --images DIR for the pictures",
            drags: "as drawn; relations join points and regions",
        },
        Kind::Cvat => About {
            source: "CVAT for images 1.1, and for video 1.1",
            layout: "annotations.xml; --images DIR for the pictures, or for the frames frame_000000.PNG of a video",
            drags: "as drawn; in a video, each track from its first frame to its last",
        },
    }
}

const DRAWN: &str = "
As drawn, in an annotation tool:
  area      a region; its label is a type, a name or both: `rotation head`; without a type it is a translation
  area `editable`
            where the picture may change
  line      two points: handle, target; three: centre or anchor, handle, target
  points    labelled `handle`, `target`, `center`, `anchor`: the same as a line
  attributes `type`, `angle`, `factor` of an area: as in a drag file
A line belongs to the region of its group, else of its name, else to the one that holds its handle.
Without a line, --move DX,DY moves every region.
";

/// Returns the list of all kinds as JSON.
pub(crate) fn list_data() -> serde_json::Value {
    let kinds = Kind::ALL.map(|kind| {
        let About {
            source,
            layout,
            drags,
        } = about(kind);
        serde_json::json!({ "kind": kind.name(), "source": source, "files": layout, "drags": drags })
    });
    serde_json::json!({ "v": 1, "kinds": kinds })
}

/// Returns the list of all kinds.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let About {
            source,
            layout,
            drags,
        } = about(kind);
        let _ = writeln!(
            text,
            "{kind}\n    {source}\n    files: {layout}\n    drags: {drags}"
        );
    }
    text + DRAWN
}
