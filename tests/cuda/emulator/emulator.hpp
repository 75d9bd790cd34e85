// Runs CUDA kernels on the processor, so that tests of the kernels need no GPU.
//
// Included before the kernels, it gives g++ or clang++ the words of CUDA C++. A launch runs its blocks one after another on the calling
// thread; several threads may launch at once. A block's threads are fibers. One runs until it must wait for others, at a barrier or where
// the threads of a warp exchange numbers; a kernel that never waits therefore runs as a plain loop, without any switch.
//
// What a GPU would leave undefined stops the program with a message: threads that wait at different places, or for one that has returned.
// Shared memory begins as NaN in every block. Threads run in one of four orders (`emulator_order`); results that differ show a missing barrier.

#pragma once

#ifdef __linux__
#include <link.h>
#endif
#include <pthread.h>

#include <cstdint>

#include "language.hpp"

namespace emulator {

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
    machine.descending = order & 1;
    machine.deep = order & 2;
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

// From now on the threads of a block begin in descending instead of ascending order (1), and each warp goes as far as it gets instead of in
// turn with the others (2), or both (3), or neither (0).
extern "C" inline __attribute__((visibility("default"), used)) void emulator_order(unsigned order) { emulator::order = order; }

// The name of kernel `index` in the order of the alphabet, or null when there are not so many.
extern "C" inline __attribute__((visibility("default"), used)) const char* emulator_kernel(unsigned index) {
    if (index >= emulator::kernels().size()) return nullptr;
    return std::next(emulator::kernels().begin(), index)->first.c_str();
}
