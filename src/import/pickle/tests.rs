use super::*;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/pickles")
}

fn files(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures").flatten();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = std::fs::read(entry.path()).expect("a fixture");
            (name, bytes)
        })
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    files.sort();
    files
}

fn numbers(value: Value) -> Vec<f64> {
    if let Some(array) = value.array() {
        return (0..array.len()).map(|index| array.at(index)).collect();
    }
    value
        .list()
        .expect("a list")
        .flat_map(|entry| match entry.number() {
            Some(number) => vec![number],
            None => numbers(entry),
        })
        .collect()
}

/// Every protocol, number format and order of memory gives the same prompt, points and mask.
#[test]
fn pickles_of_every_protocol_are_read() {
    let files = files("protocol-");
    assert_eq!(files.len(), 31, "the fixtures are complete");
    for (name, bytes) in files {
        let pickle = load(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let get = |key: &str| {
            pickle
                .root()
                .get(key)
                .unwrap_or_else(|| panic!("{name}: {key}"))
        };
        let prompt = "une tasse bleue, éclairée ☕";
        assert_eq!(get("prompt").text().as_deref(), Some(prompt), "{name}");
        assert_eq!(numbers(get("points")), [1.0, 2.0, 3.0, 4.0], "{name}");
        let mask = get("mask").array().expect("an array");
        assert_eq!(mask.shape(), [7, 9], "{name}");
        for index in 0..mask.len() {
            let expected = (2 * (index / 9) + 3 * (index % 9)).is_multiple_of(5);
            assert_eq!(mask.at(index) > 0.0, expected, "{name}: element {index}");
        }
    }
}

/// What Python would run, or make an object of, is refused by its name.
#[test]
fn code_and_objects_are_refused_by_name() {
    for (name, bytes) in files("hostile-") {
        let error = load(&bytes).map(|_| ()).expect_err(&name);
        let PickleError::Refused(reason) = &error else {
            panic!("{name}: {error}");
        };
        let expected = match name.split('-').nth(1) {
            Some("system") => ["posix.system", "nt.system"].as_slice(),
            Some("eval") => &["builtins.eval", "__builtin__.eval"],
            Some("class") => &["pathlib", "it creates an object"],
            _ => &["dtype `O8`"],
        };
        assert!(
            expected.iter().any(|part| reason.contains(part)),
            "{name}: {reason}"
        );
    }
}

fn refusal(bytes: &[u8]) -> String {
    load(bytes)
        .map(|_| ())
        .expect_err("not plain data")
        .to_string()
}

#[test]
fn other_instructions_are_refused() {
    for (bytes, reason) in [
        (b"(ios\nsystem\n.".as_slice(), "object of a class"),
        (b"Pid\n.", "outside the file"),
        (b"\x80\x04\x8f.", "a set"),
        (b"\x82\x01.", "extension registry"),
        (b"\x80\x05\x97.", "outside the file"),
        (b"\x80\x06N.", "protocol 6"),
        (b"\xff.", "0xff is not an instruction"),
        (b"N)R.", "it calls None"),
        (b"cos\nsystem\n.", "os.system"),
        (b"]N(tb.", "the state of None"),
        (b"", "ends inside a value"),
        (b"(", "ends inside a value"),
        (b".", "a value is missing"),
        (b"a.", "a value is missing"),
        (b"Na.", "a value is missing"),
        (b"(NNa.", "it appends to None"),
        (b"}(Nu.", "a key has no value"),
        (b"h\x00.", "before it is there"),
        (b"X\xff\xff\xff\xffabc.", "ends inside a value"),
        (b"I1x\n.", "integer"),
        (b"\x8a\x09123456789.", "72 bits"),
    ] {
        let found = refusal(bytes);
        assert!(found.contains(reason), "{bytes:?}: {found}");
    }
}

/// Lists that share or contain themselves are no trouble, since nothing is expanded.
#[test]
fn shared_values_are_not_expanded() {
    let mut bytes = b"]q\x00".to_vec();
    for level in 0..60_u8 {
        bytes.extend([b']', b'(']);
        bytes.extend([b'h', level, b'h', level, b'e', b'q', level + 1]);
    }
    bytes.push(b'.');
    let pickle = load(&bytes).expect("a list of lists");
    assert_eq!(pickle.root().list().map(|list| list.len()), Some(2));
    let itself = load(b"]q\x00h\x00a.").expect("a list in itself");
    assert_eq!(itself.root().list().map(|list| list.len()), Some(1));
}

/// An array has the bytes of its shape, whatever the shape says.
#[test]
fn an_array_with_an_impossible_shape_is_damaged() {
    let array = |shape: &[u8]| {
        let mut bytes =
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01("
                .to_vec();
        bytes.extend(shape);
        bytes.extend(b"tcnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nC\x06abcdeftb.");
        bytes
    };
    let good = load(&array(b"K\x02K\x03")).expect("an array of 2 x 3");
    let good = good.root().array().expect("an array");
    assert_eq!(
        (good.shape(), good.at(5)),
        ([2, 3].as_slice(), f64::from(b'f'))
    );
    let huge = b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40".repeat(2);
    for shape in [
        b"K\x02K\x02".as_slice(),
        b"K\x06K\x06",
        b"J\xff\xff\xff\xff",
        &huge,
        b"N",
        b"K\x00",
    ] {
        assert!(
            refusal(&array(shape)).contains("bytes of its shape"),
            "{shape:?}"
        );
    }
    assert!(load(&array(&b"K\x01".repeat(40))).is_err(), "40 dimensions");
}

/// A text that is turned into bytes again and again cannot fill the memory.
#[test]
fn repeated_conversions_are_bounded() {
    let length = 1_u32 << 20;
    let mut bytes = b"c_codecs\nencode\nq\x00X".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.resize(bytes.len() + length as usize, b'x');
    bytes.extend(b"q\x01X\x06\x00\x00\x00latin1q\x02");
    for _ in 0..400 {
        bytes.extend(b"h\x00(h\x01h\x02tR");
    }
    bytes.push(b'.');
    assert!(refusal(&bytes).contains("repeats its byte strings"));
}
