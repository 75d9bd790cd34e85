// Runs CUDA kernels on the CPU, so that kernel tests need no GPU.
//
// This header is included before the kernels and defines the parts of CUDA C++ that they use, for g++ or clang++. A
// launch runs its blocks one after another on the calling thread; several threads may launch at once. The threads of a
// block are fibers. A fiber runs until it has to wait at a barrier or at a warp-level exchange, so a kernel without
// either runs as a plain loop without context switches.
//
// Undefined behaviour on a GPU aborts the process with a message: threads that wait at different places, or for a
// thread that has returned. Shared memory is initialised to NaN for every block. Threads run in one of four orders
// and blocks in one of two (`emulator_order`); a result that depends on the order shows a missing barrier.

#pragma once

#ifdef __linux__
#include <link.h>
#endif
#include <pthread.h>

#include <cstdint>

#include "language.hpp"

namespace emulator {

inline void* dynamic_shared() { return here.machine->dynamic_start; }

// Finds the calling thread's copy of the kernels' shared variables: all thread-local memory of this library except
// `here`.
inline void find_shared(Machine& machine) {
#ifdef __linux__
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            Machine& machine = *static_cast<Machine*>(data);
            const char *start = static_cast<const char*>(info->dlpi_tls_data), *mine = reinterpret_cast<const char*>(&here);
            for (int i = 0; start && i < info->dlpi_phnum; i++) {
                const auto& header = info->dlpi_phdr[i];
                // Outside a library of its own, thread-local memory would contain more than the kernels' variables.
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
inline void reset_shared(Machine& machine) {
    const Here kept = *machine.here;
#ifndef __SANITIZE_ADDRESS__
    if (machine.shared_start) std::memset(machine.shared_start, 0xff, machine.shared_bytes);
#endif
    *machine.here = kept;
    std::fill(machine.dynamic.begin(), machine.dynamic.end(), static_cast<char>(0xff));
}

inline void run_block(Machine& machine) {
    machine.started = machine.finished = 0;
    reset_shared(machine);
    if (Fiber* fiber = next_fiber(machine)) switch_to(machine, fiber);
    if (machine.finished < machine.threads) fail("deadlock: threads wait for others that have returned");
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

// Launches a kernel and waits for it. `arguments` holds a pointer to the value of each argument. Returns 1 if no kernel
// has the name, 2 if the number of arguments is wrong, 3 if no GPU supports the sizes.
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
    machine.exchanges = 0;
    machine.descending = order & 1;
    machine.depth_first = order & 2;
    machine.warps.assign((threads + WARP - 1) / WARP, Exchange{});
    machine.dynamic.resize(shared + 128);
    machine.dynamic_start = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(machine.dynamic.data()) + 127) / 128 * 128);
    here.grid = {blocks[0], blocks[1], blocks[2]};
    here.block = {threads, 1, 1};
    here.thread_index = {0, 0, 0};
    const bool from_last = order & 4;
    for (unsigned z = 0; z < blocks[2]; z++) {
        for (unsigned y = 0; y < blocks[1]; y++) {
            for (unsigned x = 0; x < blocks[0]; x++) {
                here.block_index = {from_last ? blocks[0] - 1 - x : x, from_last ? blocks[1] - 1 - y : y, from_last ? blocks[2] - 1 - z : z};
                run_block(machine);
            }
        }
    }
    return 0;
}

// Returns the number of warp-level exchanges of this host thread's last launch.
extern "C" inline __attribute__((visibility("default"), used)) unsigned emulator_exchanges() { return emulator::machine_of_this_thread().exchanges; }

// Sets the order of threads: 1 starts the threads of a block in descending order, 2 lets each warp run as far as
// possible instead of in turn, 4 runs blocks in descending order; sums of these do several, 0 none.
extern "C" inline __attribute__((visibility("default"), used)) void emulator_order(unsigned order) { emulator::order = order; }

// Returns the name of kernel `index` in alphabetical order; null past the last one.
extern "C" inline __attribute__((visibility("default"), used)) const char* emulator_kernel(unsigned index) {
    if (index >= emulator::kernels().size()) return nullptr;
    return std::next(emulator::kernels().begin(), index)->first.c_str();
}
