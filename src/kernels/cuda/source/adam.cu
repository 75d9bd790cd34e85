// Adam and AdamW on flat buffers (Kingma and Ba, arXiv 1412.6980; decoupled weight decay:
// Loshchilov and Hutter, arXiv 1711.05101).

#include "primitives.cuh"

// The corrections are 1 - beta^step.
PLAIN_KERNEL(adam, (const float* __restrict__ gradient, float* __restrict__ first, float* __restrict__ second, float* __restrict__ parameter,
                    float lr, float decay, float first_correction, float second_correction, unsigned n)) {
    constexpr float BETA1 = 0.9f, REST1 = 0.1f, BETA2 = 0.999f, REST2 = 0.001f, EPS = 1e-8f;
    const float rate = lr / first_correction, root = 1.0f / sqrtf(second_correction), shrink = 1.0f - lr * decay;
    for_each(n, aligned_for_4(gradient, first, second, parameter), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> g = load<W>(gradient + i);
        Vector<W> m = load<W>(first + i), v = load<W>(second + i), p = load<W>(parameter + i);
        for (unsigned j = 0; j < W; j++) {
            m.at[j] = m.at[j] * BETA1 + g.at[j] * REST1;
            v.at[j] = v.at[j] * BETA2 + g.at[j] * g.at[j] * REST2;
            p.at[j] = p.at[j] * shrink - m.at[j] * rate / (sqrtf(v.at[j]) * root + EPS);
        }
        store(first + i, m);
        store(second + i, v);
        store(parameter + i, p);
    });
}
