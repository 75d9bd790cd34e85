// Blocks of threads as fibers: scheduling, barriers, warp-level exchanges, and the table of kernels.

#pragma once

#include <sys/mman.h>
#include <unistd.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <bit>
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

#include "switch.hpp"

struct dim3 {
    unsigned x, y, z;
};

namespace emulator {

constexpr unsigned WARP = 32;
constexpr std::size_t STACK = 256 << 10;

// A source line of the kernels.
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

// Inputs and outputs of the lanes that have arrived at an exchange.
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

// State of a host thread that runs blocks; created at its first launch.
struct Machine {
    // `here` of the same thread. Thread-local variables of a library are slow to access.
    Here* here = nullptr;
    std::string kernel;
    const Kernel* code = nullptr;
    const void* const* arguments = nullptr;

    bool descending = false;
    bool depth_first = false;
    unsigned threads = 0;
    unsigned started = 0;
    unsigned finished = 0;
    unsigned at_barrier = 0;
    // Warp-level exchanges of the launch.
    unsigned exchanges = 0;

    void* main_stack_pointer = nullptr;
    Fiber* current = nullptr;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Fiber*> idle;
    // A queue whose entries before `head` are consumed; a stack if each warp runs as far as possible.
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

// The emulator's only thread-local variable beside the kernels' shared memory.
struct Here {
    dim3 grid, block, block_index, thread_index;
    Machine* machine;
};
inline thread_local Here here;
inline std::atomic<unsigned> order = 0;

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

// Adds a kernel to the table.
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

// Switches to another fiber, or to the launch if `next` is null. Returns when another fiber switches back.
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

// Returns the next fiber to run: one that no longer waits, else one that starts another thread, else null.
inline Fiber* next_fiber(Machine& machine);

// Main loop of a fiber: runs threads of the block that have not started.
inline void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    // A fiber stays on the host thread that created it.
    Machine& machine = *here.machine;
    Fiber* self = machine.current;
    for (;;) {
        while (machine.started < machine.threads) {
            self->thread = machine.descending ? machine.threads - 1 - machine.started : machine.started;
            machine.started++;
            machine.here->thread_index.x = self->thread;
            machine.code->thread(machine.code->function, machine.arguments);
            machine.finished++;
        }
        machine.idle.push_back(self);
        switch_to(machine, next_fiber(machine));
    }
}

inline Fiber* next_fiber(Machine& machine) {
    if (machine.depth_first && !machine.ready.empty()) {
        Fiber* fiber = machine.ready.back();
        machine.ready.pop_back();
        return fiber;
    }
    if (machine.head < machine.ready.size()) {
        Fiber* fiber = machine.ready[machine.head++];
        if (machine.head == machine.ready.size()) {
            machine.ready.clear();
            machine.head = 0;
        }
        return fiber;
    }
    if (machine.started == machine.threads) return nullptr;
    if (machine.idle.empty()) {
        auto fiber = std::make_unique<Fiber>();
        void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) fail("cannot allocate a stack");
        // Stacks grow down, to a guard page.
        mprotect(memory, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
        fiber->memory = static_cast<char*>(memory);
        // Different offsets keep the stacks from competing for the same cache lines.
        const std::size_t offset = machine.fibers.size() % 64 * 832;
        fiber->stack_pointer = fresh_stack(fiber->memory + STACK - offset, fiber_main);
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

// Block-level barrier.
inline void barrier(Place place) {
    Machine& machine = *here.machine;
    Fiber* self = machine.current;
    if (!machine.barrier.empty() && !(machine.barrier[0]->place == place)) {
        std::fprintf(stderr, "emulator: thread %u arrives at the barrier at %s:%u\n", self->thread, place.file, place.line);
        fail("threads wait at different barriers");
    }
    if (machine.barrier.size() + 1 < machine.threads) {
        machine.barrier.push_back(self);
        wait(machine, "a barrier", place);
        return;
    }
    for (Fiber* fiber : machine.barrier) wake(machine, fiber);
    machine.barrier.clear();
}

// Warp-level exchange among all 32 lanes. The last lane to arrive calls work(inputs, outputs), arrays of 32 pointers,
// for all.
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
            std::fprintf(stderr, "emulator: thread %u arrives at %s at %s:%u\n", self->thread, name, place.file, place.line);
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
    machine.exchanges++;
    warp.arrived = 0;
    for (unsigned i = 0; i < WARP; i++) {
        if (warp.fibers[i] != self) wake(machine, warp.fibers[i]);
    }
    return output;
}

} // namespace emulator
