// Runs CUDA kernels on the processor, so that tests of the kernels need no GPU.
//
// Included before the kernels, it gives g++ or clang++ the words of CUDA C++. A launch runs its blocks one after another on the calling
// thread; several threads may launch at once. A block's threads are fibers. One runs until it must wait for others, at a barrier or where
// the threads of a warp exchange numbers; a kernel that never waits therefore runs as a plain loop, without any switch.
//
// What a GPU would leave undefined stops the program with a message: threads that wait at different places, or for one that has returned.
// Shared memory begins as NaN in every block. Threads run in ascending or (`emulator_reverse`) descending order: results that differ
// show a missing barrier.

#pragma once

#include <sys/mman.h>
#include <unistd.h>
#ifdef __linux__
#include <link.h>
#endif
#include <pthread.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
// Blocks of a launch run one after another, so one copy per thread that launches is enough.
#define __shared__ static thread_local

struct dim3 {
    unsigned x, y, z;
};

#define EMULATED_VECTOR(number, name, bytes)                  \
    struct __attribute__((may_alias, aligned(bytes))) name##2 { \
        number x, y;                                          \
    };                                                        \
    struct __attribute__((may_alias, aligned(2 * bytes))) name##4 { \
        number x, y, z, w;                                    \
    };                                                        \
    inline name##2 make_##name##2(number x, number y) { return {x, y}; } \
    inline name##4 make_##name##4(number x, number y, number z, number w) { return {x, y, z, w}; }
EMULATED_VECTOR(unsigned, uint, 8)
EMULATED_VECTOR(int, int, 8)
EMULATED_VECTOR(float, float, 8)
#undef EMULATED_VECTOR

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }

namespace emulator {

constexpr unsigned WARP = 32;
constexpr std::size_t STACK = 256 << 10;

// A line of the kernels' source.
struct Place {
    const char* file = "";
    unsigned line = 0;

    bool operator==(const Place& other) const { return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0); }
};

// A stack, and where the thread that runs on it waits.
struct Fiber {
    char* memory = nullptr;
    void* stack_pointer = nullptr;
    unsigned thread = 0;
    bool waits = false;
    const char* reason = "";
    Place place;
};

// What the lanes of a warp that have come to an exchange brought with them.
struct Exchange {
    unsigned arrived = 0;
    const void* inputs[WARP];
    void* outputs[WARP];
    Fiber* fibers[WARP];
};

using Thread = void (*)(void (*function)(), const void* const* arguments);

struct Kernel {
    Thread thread;
    void (*function)();
    unsigned arguments;
};

struct Here;

// All that a thread of the program needs to run blocks. Made at its first launch.
struct Machine {
    // Of the same thread: its thread-local variables are slow to reach in a library.
    Here* here = nullptr;
    std::string kernel;
    const Kernel* code = nullptr;
    const void* const* arguments = nullptr;

    unsigned threads = 0;
    unsigned begun = 0;
    unsigned finished = 0;
    unsigned at_barrier = 0;

    void* main_stack_pointer = nullptr;
    Fiber* current = nullptr;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Fiber*> idle;
    // A queue: what stands before `head` has been taken.
    std::vector<Fiber*> ready;
    std::size_t head = 0;
    std::vector<Fiber*> barrier;
    std::vector<Exchange> warps;

    std::vector<char> dynamic;
    char* dynamic_start = nullptr;
    char* shared_start = nullptr;
    std::size_t shared_bytes = 0;

    ~Machine() {
        for (const auto& fiber : fibers) munmap(fiber->memory, STACK);
    }
};

// The one place of the emulator's own that lies beside the kernels' shared memory.
struct Here {
    dim3 grid, block, block_index, thread_index;
    Machine* machine;
};
inline thread_local Here here;
inline bool reverse = false;

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

// Puts a kernel into the table of those that can be launched.
struct Registration {
    template <typename... Parameters>
    Registration(const char* name, void (*function)(Parameters...)) {
        const Thread thread = [](void (*function)(), const void* const* arguments) {
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                reinterpret_cast<void (*)(Parameters...)>(function)(*static_cast<const Parameters*>(arguments[I])...);
            }(std::index_sequence_for<Parameters...>());
        };
        if (!kernels().emplace(name, Kernel{thread, reinterpret_cast<void (*)()>(function), sizeof...(Parameters)}).second) {
            std::fprintf(stderr, "emulator: two kernels are named %s\n", name);
            std::abort();
        }
    }
};

[[noreturn]] inline void fail(const char* message) {
    const Machine& machine = *here.machine;
    const dim3 block = here.block_index;
    std::fprintf(stderr, "emulator: kernel %s, block (%u, %u, %u): %s\n", machine.kernel.c_str(), block.x, block.y, block.z, message);
    std::fprintf(stderr, "  %u of %u threads have returned\n", machine.finished, machine.threads);
    unsigned shown = 0;
    for (const auto& fiber : machine.fibers) {
        if (!fiber->waits || shown++ >= 40) continue;
        std::fprintf(stderr, "  thread %u waits for %s at %s:%u\n", fiber->thread, fiber->reason, fiber->place.file, fiber->place.line);
    }
    std::abort();
}

// Saves the registers that a call must keep, stores the stack pointer and goes on where `to` was stored.
extern "C" __attribute__((visibility("hidden"))) void emulator_switch(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch, . - emulator_switch
)");

inline void* fresh_stack(char* top, void (*entry)()) {
    void** place = reinterpret_cast<void**>(top);
    *--place = nullptr;
    *--place = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--place = nullptr;
    return place;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulator_switch, . - emulator_switch
)");

inline void* fresh_stack(char* top, void (*entry)()) {
    void** place = reinterpret_cast<void**>(top) - 20;
    std::fill_n(place, 20, nullptr);
    place[11] = reinterpret_cast<void*>(entry);
    return place;
}
#else
#error "the emulator knows how to switch stacks on x86-64 and aarch64 only"
#endif

// Goes on as another fiber, or as the launch itself (null), until another one goes on as this one.
inline void switch_to(Machine& machine, Fiber* next) {
    Fiber* self = machine.current;
    machine.current = next;
    void** from = self ? &self->stack_pointer : &machine.main_stack_pointer;
    void* to = next ? next->stack_pointer : machine.main_stack_pointer;
#ifdef __SANITIZE_ADDRESS__
    static thread_local const void* main_bottom;
    static thread_local std::size_t main_bytes;
    void* fake = nullptr;
    if (!main_bottom) {
        pthread_attr_t attributes;
        void* bottom = nullptr;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &bottom, &main_bytes);
        pthread_attr_destroy(&attributes);
        main_bottom = bottom;
    }
    __sanitizer_start_switch_fiber(&fake, next ? next->memory : main_bottom, next ? STACK : main_bytes);
#endif
    emulator_switch(from, to);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    if (self) machine.here->thread_index.x = self->thread;
}

// The fiber that shall run next: one that no longer waits, else one that begins another thread, else none.
inline Fiber* next_fiber(Machine& machine);

// What a fiber does all its life: it runs threads of the block that have not begun.
inline void fiber_life() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    // Fibers never leave the thread of the program that made them.
    Machine& machine = *here.machine;
    Fiber* self = machine.current;
    for (;;) {
        while (machine.begun < machine.threads) {
            self->thread = reverse ? machine.threads - 1 - machine.begun : machine.begun;
            machine.begun++;
            machine.here->thread_index.x = self->thread;
            machine.code->thread(machine.code->function, machine.arguments);
            machine.finished++;
        }
        machine.idle.push_back(self);
        switch_to(machine, next_fiber(machine));
    }
}

inline Fiber* next_fiber(Machine& machine) {
    if (machine.head < machine.ready.size()) {
        Fiber* fiber = machine.ready[machine.head++];
        if (machine.head == machine.ready.size()) {
            machine.ready.clear();
            machine.head = 0;
        }
        return fiber;
    }
    if (machine.begun == machine.threads) return nullptr;
    if (machine.idle.empty()) {
        auto fiber = std::make_unique<Fiber>();
        void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) fail("no memory for a stack");
        // Stacks grow down into a page that stops the program.
        mprotect(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
        fiber->memory = static_cast<char*>(memory);
        // At equal offsets all stacks would share a few lines of the processor's cache.
        const std::size_t offset = machine.fibers.size() % 64 * 832;
        fiber->stack_pointer = fresh_stack(fiber->memory + STACK - offset, fiber_life);
        machine.idle.push_back(fiber.get());
        machine.fibers.push_back(std::move(fiber));
    }
    Fiber* fiber = machine.idle.back();
    machine.idle.pop_back();
    return fiber;
}

inline void wait(Machine& machine, const char* reason, Place place) {
    Fiber* self = machine.current;
    self->waits = true;
    self->reason = reason;
    self->place = place;
    switch_to(machine, next_fiber(machine));
}

inline void wake(Machine& machine, Fiber* fiber) {
    fiber->waits = false;
    machine.ready.push_back(fiber);
}

// All threads of the block meet here.
inline void barrier(Place place) {
    Machine& machine = *here.machine;
    Fiber* self = machine.current;
    if (!machine.barrier.empty() && !(machine.barrier[0]->place == place)) {
        std::fprintf(stderr, "emulator: thread %u comes to the barrier at %s:%u\n", self->thread, place.file, place.line);
        fail("threads wait at different barriers");
    }
    if (machine.barrier.size() + 1 < machine.threads) {
        machine.barrier.push_back(self);
        wait(machine, "a barrier", place);
        return;
    }
    if (reverse) std::reverse(machine.barrier.begin(), machine.barrier.end());
    for (Fiber* fiber : machine.barrier) wake(machine, fiber);
    machine.barrier.clear();
}

// All 32 lanes of the warp meet here. The last one calls work(inputs, outputs), arrays of 32 pointers, for all.
template <typename Output, typename Input, typename Work>
Output exchange(const char* name, const Input& input, Work work, Place place) {
    Machine& machine = *here.machine;
    Fiber* self = machine.current;
    Exchange& warp = machine.warps[self->thread / WARP];
    const unsigned lane = self->thread % WARP;
    Output output{};
    if (warp.arrived != 0) {
        const Fiber* other = warp.fibers[std::countr_zero(warp.arrived)];
        if (!(other->place == place) || (other->reason != name && std::strcmp(other->reason, name) != 0)) {
            std::fprintf(stderr, "emulator: thread %u comes to %s at %s:%u\n", self->thread, name, place.file, place.line);
            fail("lanes of a warp wait at different places");
        }
    }
    warp.inputs[lane] = &input;
    warp.outputs[lane] = &output;
    warp.fibers[lane] = self;
    warp.arrived |= 1u << lane;
    if (warp.arrived != ~0u) {
        wait(machine, name, place);
        return output;
    }
    const Input* inputs[WARP];
    Output* outputs[WARP];
    for (unsigned i = 0; i < WARP; i++) {
        inputs[i] = static_cast<const Input*>(warp.inputs[i]);
        outputs[i] = static_cast<Output*>(warp.outputs[i]);
    }
    work(inputs, outputs);
    warp.arrived = 0;
    for (unsigned i = 0; i < WARP; i++) {
        if (Fiber* fiber = warp.fibers[reverse ? WARP - 1 - i : i]; fiber != self) wake(machine, fiber);
    }
    return output;
}

template <typename Number, typename Source>
Number shuffle(const char* name, unsigned mask, Number value, unsigned width, Source source, Place place) {
    if (mask != ~0u) fail("a shuffle without all lanes of the warp is not emulated");
    return exchange<Number>(
        name, value,
        [&](const Number* const* inputs, Number* const* outputs) {
            for (unsigned lane = 0; lane < WARP; lane++) {
                const unsigned start = lane / width * width, from = source(lane - start) + start;
                *outputs[lane] = *inputs[from >= start && from < start + width ? from : lane];
            }
        },
        place);
}

// D = A B + C of 16 x 8 numbers with A (16, 16) row-major and B (16, 8) column-major, spread over the warp as the PTX manual draws it
// for mma.m16n8k16. `widen` makes an f32 of 16 bits.
struct Fragments {
    unsigned a[4], b[2];
    float c[4];
};
struct Accumulators {
    float d[4];
};
template <typename Widen>
Accumulators multiply(const char* name, const Fragments& mine, Widen widen, Place place) {
    return exchange<Accumulators>(
        name, mine,
        [&](const Fragments* const* inputs, Accumulators* const* outputs) {
            float a[16][16], b[16][8], d[16][8];
            const auto half = [&](unsigned pair, unsigned index) { return widen(static_cast<unsigned short>(pair >> 16 * index)); };
            for (unsigned lane = 0; lane < WARP; lane++) {
                const Fragments& from = *inputs[lane];
                const unsigned row = lane / 4, pair = lane % 4 * 2;
                for (unsigned i = 0; i < 2; i++) {
                    for (unsigned j = 0; j < 4; j++) a[row + j % 2 * 8][pair + j / 2 * 8 + i] = half(from.a[j], i);
                    for (unsigned j = 0; j < 2; j++) b[pair + j * 8 + i][row] = half(from.b[j], i);
                    for (unsigned j = 0; j < 2; j++) d[row + j * 8][pair + i] = from.c[j * 2 + i];
                }
            }
            for (unsigned i = 0; i < 16; i++) {
                for (unsigned k = 0; k < 16; k++) {
                    for (unsigned j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
                }
            }
            for (unsigned lane = 0; lane < WARP; lane++) {
                for (unsigned i = 0; i < 4; i++) outputs[lane]->d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
            }
        },
        place);
}

inline void* dynamic_shared() { return here.machine->dynamic_start; }

// The calling thread's copies of the kernels' shared variables: all its thread-local memory in this library, but for `here`.
inline void find_shared(Machine& machine) {
#ifdef __linux__
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            Machine& machine = *static_cast<Machine*>(data);
            const char *start = static_cast<const char*>(info->dlpi_tls_data), *mine = reinterpret_cast<const char*>(&here);
            for (int i = 0; start && i < info->dlpi_phnum; i++) {
                const auto& header = info->dlpi_phdr[i];
                // Elsewhere than in a library of its own there would be more than the kernels' variables.
                const bool library = info->dlpi_name && *info->dlpi_name;
                if (header.p_type != PT_TLS || mine < start || mine >= start + header.p_memsz || !library) continue;
                machine.shared_start = const_cast<char*>(start);
                machine.shared_bytes = header.p_memsz;
                return 1;
            }
            return 0;
        },
        &machine);
#endif
}

// Bytes of 0xff are NaN in every format.
inline void forget_shared(Machine& machine) {
    const Here kept = *machine.here;
#ifndef __SANITIZE_ADDRESS__
    if (machine.shared_start) std::memset(machine.shared_start, 0xff, machine.shared_bytes);
#endif
    *machine.here = kept;
    std::fill(machine.dynamic.begin(), machine.dynamic.end(), static_cast<char>(0xff));
}

inline void run_block(Machine& machine) {
    machine.begun = machine.finished = 0;
    forget_shared(machine);
    if (Fiber* fiber = next_fiber(machine)) switch_to(machine, fiber);
    if (machine.finished < machine.threads) fail("threads wait for others that never come");
}

inline Machine& machine_of_this_thread() {
    static pthread_key_t key;
    static const int made = pthread_key_create(&key, [](void* machine) { delete static_cast<Machine*>(machine); });
    if (made != 0) std::abort();
    if (!here.machine) {
        here.machine = new Machine;
        here.machine->here = &here;
        find_shared(*here.machine);
        pthread_setspecific(key, here.machine);
    }
    return *here.machine;
}

} // namespace emulator

#define gridDim (emulator::here.grid)
#define blockDim (emulator::here.block)
#define blockIdx (emulator::here.block_index)
#define threadIdx (emulator::here.thread_index)

#define EMULATED_PLACE const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

inline void __syncthreads(EMULATED_PLACE) { emulator::barrier({file, line}); }

inline void __syncwarp(unsigned mask = ~0u, EMULATED_PLACE) {
    emulator::shuffle("a barrier of the warp", mask, 0u, 32, [](unsigned lane) { return lane; }, {file, line});
}

template <typename Number>
Number __shfl_sync(unsigned mask, Number value, unsigned from, unsigned width = 32, EMULATED_PLACE) {
    // Every lane may name another one.
    struct Asked {
        Number value;
        unsigned from;
    };
    if (mask != ~0u) emulator::fail("a shuffle without all lanes of the warp is not emulated");
    return emulator::exchange<Number>(
        "a shuffle", Asked{value, from},
        [&](const Asked* const* inputs, Number* const* outputs) {
            for (unsigned lane = 0; lane < 32; lane++) *outputs[lane] = inputs[lane / width * width + inputs[lane]->from % width]->value;
        },
        {file, line});
}

template <typename Number>
Number __shfl_xor_sync(unsigned mask, Number value, unsigned other, unsigned width = 32, EMULATED_PLACE) {
    return emulator::shuffle("a shuffle", mask, value, width, [=](unsigned lane) { return lane ^ other; }, {file, line});
}

template <typename Number>
Number __shfl_down_sync(unsigned mask, Number value, unsigned distance, unsigned width = 32, EMULATED_PLACE) {
    return emulator::shuffle("a shuffle", mask, value, width, [=](unsigned lane) { return lane + distance; }, {file, line});
}

// Launches a kernel and waits for it. `arguments` points to each argument's value. Returns 1 where no kernel has the name, 2 where it takes
// another number of arguments, 3 where the sizes are ones that no GPU takes.
extern "C" inline __attribute__((visibility("default"), used)) int emulator_launch(
    const char* name, const unsigned blocks[3], unsigned threads, unsigned shared, const void* const* arguments, unsigned count) {
    using namespace emulator;
    const auto found = kernels().find(name);
    if (found == kernels().end()) return 1;
    if (found->second.arguments != count) return 2;
    const bool too_large = blocks[0] > 0x7fffffff || blocks[1] > 65535 || blocks[2] > 65535 || threads > 1024 || shared > 227 << 10;
    if (too_large || blocks[0] == 0 || blocks[1] == 0 || blocks[2] == 0 || threads == 0) return 3;
    Machine& machine = machine_of_this_thread();
    machine.kernel = name;
    machine.code = &found->second;
    machine.arguments = arguments;
    machine.threads = threads;
    machine.warps.assign((threads + WARP - 1) / WARP, Exchange{});
    machine.dynamic.resize(shared + 128);
    machine.dynamic_start = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(machine.dynamic.data()) + 127) / 128 * 128);
    here.grid = {blocks[0], blocks[1], blocks[2]};
    here.block = {threads, 1, 1};
    here.thread_index = {0, 0, 0};
    for (unsigned z = 0; z < blocks[2]; z++) {
        for (unsigned y = 0; y < blocks[1]; y++) {
            for (unsigned x = 0; x < blocks[0]; x++) {
                here.block_index = {x, y, z};
                run_block(machine);
            }
        }
    }
    return 0;
}

// From now on threads of a block run in descending order, or in ascending order again.
extern "C" inline __attribute__((visibility("default"), used)) void emulator_reverse(int reverse) { emulator::reverse = reverse != 0; }

// The name of kernel `index` in the order of the alphabet, or null when there are not so many.
extern "C" inline __attribute__((visibility("default"), used)) const char* emulator_kernel(unsigned index) {
    if (index >= emulator::kernels().size()) return nullptr;
    return std::next(emulator::kernels().begin(), index)->first.c_str();
}
