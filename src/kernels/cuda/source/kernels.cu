// All kernels in one translation unit. Each file comes after the files it includes.

#include "formats.cuh"
#include "primitives.cuh"
#include "elementwise.cu"
#include "norm.cu"
#include "resample.cu"
#include "scores.cu"
#include "tensor_cores.cuh"
#include "attention.cu"
#include "attention_backward.cu"
#include "loss.cu"
#include "adam.cu"
