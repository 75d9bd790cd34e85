//! Whether the machine may have an NVIDIA GPU, asked of the operating system and not of NVIDIA's driver, which may be missing.

use std::fs;
use std::path::Path;

/// NVIDIA's number on the PCI bus.
const NVIDIA: &str = "0x10de";
/// The class of display controllers, with and without a screen: the first digits of `class`.
const DISPLAY: &str = "0x03";

/// Files that exist where a GPU is not on the PCI bus: under Windows' Linux, with a driver of a container's host, on boards with a processor of
/// NVIDIA's, and the driver of Windows.
const OTHER_SIGNS: [&str; 5] = [
    "dev/dxg",
    "dev/nvidiactl",
    "dev/nvhost-gpu",
    "dev/nvmap",
    "Windows/System32/nvcuda.dll",
];

/// Returns whether the PCI bus has a display controller of NVIDIA's, or another sign of a GPU is there. `root` is the root folder of the file
/// system.
pub(super) fn may_be_present(root: &Path) -> bool {
    if OTHER_SIGNS.iter().any(|sign| root.join(sign).exists()) {
        return true;
    }
    let Ok(devices) = fs::read_dir(root.join("sys/bus/pci/devices")) else {
        return false;
    };
    let has = |device: &Path, name: &str, start: &str| {
        fs::read_to_string(device.join(name)).is_ok_and(|text| text.starts_with(start))
    };
    devices
        .flatten()
        .map(|device| device.path())
        .any(|device| has(&device, "vendor", NVIDIA) && has(&device, "class", DISPLAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_display_controller_of_nvidia_is_a_card() {
        let root = tempfile::tempdir().expect("a temporary folder");
        assert!(!may_be_present(root.path()), "there is no bus");
        let add = |name: &str, vendor: &str, class: &str| {
            let device = root.path().join("sys/bus/pci/devices").join(name);
            fs::create_dir_all(&device).expect("the folder is new");
            fs::write(device.join("vendor"), vendor).expect("the folder takes files");
            fs::write(device.join("class"), class).expect("the folder takes files");
        };
        fs::create_dir_all(root.path().join("dev")).expect("the folder is new");
        fs::write(root.path().join("dev/dxg"), "").expect("the folder takes files");
        assert!(may_be_present(root.path()), "a GPU of Windows");
        fs::remove_file(root.path().join("dev/dxg")).expect("it is there");
        add("0000:00:02.0", "0x8086\n", "0x030000\n");
        add("0000:01:00.1", "0x10de\n", "0x040300\n");
        assert!(
            !may_be_present(root.path()),
            "another vendor's card, and NVIDIA's sound"
        );
        add("0000:01:00.0", "0x10de\n", "0x030200\n");
        assert!(may_be_present(root.path()));
    }
}
