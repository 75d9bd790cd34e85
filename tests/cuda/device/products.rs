//! Matrix products on the fake cuBLASLt against plain loops.

use dragnext::kernels::cuda::driver::{Address, Driver, Format, Gemm, MatrixView};
use dragnext::kernels::fault::DeviceFault;

use super::fakes::{bytes, download, integers, open, runs_a_case, upload};

/// Converts a small integer to a 16-bit format.
fn to_16_bits(format: Format, value: f32) -> u16 {
    let bits = value.to_bits();
    match format {
        Format::Bf16 => (bits >> 16) as u16,
        _ if value == 0.0 => 0,
        _ => {
            (bits >> 16 & 0x8000) as u16
                | ((((bits >> 23 & 0xff) - 112) << 10) | (bits >> 13 & 0x3ff)) as u16
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn products_of_f32() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let (rows, cols, inner) = (4, 6, 5);
    let (a, b, bias) = (
        integers(rows * inner, 1),
        integers(inner * cols, 2),
        integers(cols + 1, 3),
    );
    let before = integers(rows * cols, 4);
    let [a_at, b_at, bias_at, c_at] =
        [&a, &b, &bias, &before].map(|values| upload(&device, values));
    let stored = |address, stride| MatrixView {
        address,
        format: Format::F32,
        stride,
        batch_stride: 0,
    };
    let c = stored(c_at, cols);
    for (bias_from, beta, a_transposed) in [
        (None, 0.0, false),
        (Some(0), 0.0, true),
        (Some(1), 3.0, false),
        (None, 3.0, true),
    ] {
        device
            .write(c_at, &bytes(&before))
            .expect("the write succeeds");
        let product = Gemm {
            rows,
            cols,
            inner,
            batch: 1,
            alpha: 2.0,
            a: stored(a_at, if a_transposed { rows } else { inner }),
            a_transposed,
            b: stored(b_at, cols),
            b_transposed: false,
            c,
            add: (beta != 0.0).then_some((c, beta)),
            bias: bias_from.map(|from: usize| bias_at.plus(4 * from)),
        };
        for round in 0..2 {
            if round == 1 {
                device
                    .write(c_at, &bytes(&before))
                    .expect("the write succeeds");
            }
            device.gemm(&product).expect("the product is supported");
        }
        let expected: Vec<f32> = (0..rows * cols)
            .map(|at| {
                let (i, j) = (at / cols, at % cols);
                let at_a = |k| {
                    if a_transposed {
                        a[k * rows + i]
                    } else {
                        a[i * inner + k]
                    }
                };
                let sum: f32 = (0..inner).map(|k| at_a(k) * b[k * cols + j]).sum();
                2.0 * sum + beta * before[at] + bias_from.map_or(0.0, |from| bias[j + from])
            })
            .collect();
        assert_eq!(
            download(&device, c_at, rows * cols),
            expected,
            "{product:?}"
        );
    }
    for address in [a_at, b_at, bias_at, c_at] {
        device.free(address);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn products_of_16_bit_formats() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let (rows, cols, inner, batch) = (3, 4, 2, 2);
    let small = |count, seed| {
        integers(count, seed)
            .into_iter()
            .map(|value| (value / 4.0).floor())
            .collect::<Vec<_>>()
    };
    let (a, b, bias) = (
        small(batch * rows * inner, 1),
        small(batch * inner * cols, 2),
        small(cols, 3),
    );
    for format in [Format::F16, Format::Bf16] {
        let upload = |values: &[f32], format: Format| {
            let bytes: Vec<u8> = match format {
                Format::F32 => bytes(values),
                _ => values
                    .iter()
                    .flat_map(|value| to_16_bits(format, *value).to_ne_bytes())
                    .collect(),
            };
            let address = device
                .allocate(bytes.len() + 2)
                .expect("the allocation succeeds")
                .plus(2 * usize::from(format != Format::F32));
            device.write(address, &bytes).expect("the write succeeds");
            address
        };
        for (result, batch) in [(format, 1), (format, 2), (Format::F32, 1), (Format::F32, 2)] {
            let [a_at, b_at] = [&a, &b].map(|values| upload(values, format));
            let (bias_at, c_at) = (
                upload(&bias, result),
                upload(&vec![0.0; batch * rows * cols], result),
            );
            let stored = |address, format, stride, batch_stride| MatrixView {
                address,
                format,
                stride,
                batch_stride,
            };
            let product = Gemm {
                rows,
                cols,
                inner,
                batch,
                alpha: 1.0,
                a: stored(a_at, format, inner, rows * inner),
                a_transposed: false,
                b: stored(b_at, format, cols, inner * cols),
                b_transposed: false,
                c: stored(c_at, result, cols, rows * cols),
                add: None,
                bias: (batch == 1).then_some(bias_at),
            };
            device.gemm(&product).expect("the product is supported");
            let expected = (0..batch * rows * cols).map(|at| {
                let (n, i, j) = (at / (rows * cols), at / cols % rows, at % cols);
                let sum: f32 = (0..inner)
                    .map(|k| a[(n * rows + i) * inner + k] * b[(n * inner + k) * cols + j])
                    .sum();
                sum + if batch == 1 { bias[j] } else { 0.0 }
            });
            if result == Format::F32 {
                assert_eq!(
                    download(&device, c_at, batch * rows * cols),
                    expected.collect::<Vec<_>>()
                );
            } else {
                let mut bytes = vec![0; 2 * batch * rows * cols];
                device.read(c_at, &mut bytes).expect("the read succeeds");
                let expected: Vec<u8> = expected
                    .flat_map(|value| to_16_bits(format, value).to_ne_bytes())
                    .collect();
                assert_eq!(bytes, expected, "{product:?}");
            }
            for (address, format) in [
                (a_at, format),
                (b_at, format),
                (bias_at, result),
                (c_at, result),
            ] {
                device.free(Address(address.0 - 2 * u64::from(format != Format::F32)));
            }
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn unsupported_products() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[0.0; 16]);
    let matrix = MatrixView {
        address: x,
        format: Format::F32,
        stride: 4,
        batch_stride: 0,
    };
    let product = Gemm {
        rows: 4,
        cols: 4,
        inner: 4,
        batch: 1,
        alpha: 1.0,
        a: matrix,
        a_transposed: false,
        b: matrix,
        b_transposed: false,
        c: matrix,
        add: None,
        bias: None,
    };
    for product in [
        product,
        Gemm {
            bias: Some(x),
            ..product
        },
        Gemm {
            c: MatrixView {
                stride: 3,
                ..matrix
            },
            ..product
        },
    ] {
        let Err(DeviceFault::Refused { call, reason }) = device.gemm(&product) else {
            panic!("the product is not supported")
        };
        assert!(
            call == "cublasLtMatmul" && reason.contains("(4, 4) (4, 4), f32 to f32"),
            "{reason}"
        );
    }
    device
        .gemm(&Gemm { rows: 0, ..product })
        .expect("an empty operation succeeds");
    device.free(x);
}
