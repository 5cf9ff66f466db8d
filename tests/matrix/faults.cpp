// SPDX-License-Identifier: MIT
// plain_faults.py's env and its faults in C++: what a worker without Python may do.
//
// $FAULTS is the folder whose file PLACE says what is to go wrong there; who finds it takes it away.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "envring_worker.hpp"

static std::string in_folder(const std::string &name) {
    const char *folder = std::getenv("FAULTS");
    return std::string(folder ? folder : "/nowhere") + "/" + name;
}

static void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

// -- what goes wrong -----------------------------------------------------------------------------

static void want_memory() {
    long pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = rlim_t(pages) * rlim_t(sysconf(_SC_PAGESIZE)) + (64 << 20);
    setrlimit(RLIMIT_AS, &limit);
    static void *volatile kept;
    kept = ::operator new(1 << 30);
    (void)kept;
}

static void want_descriptors() {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (open("/dev/null", O_RDONLY) >= 0) {
    }
    throw std::runtime_error(std::strerror(errno));
}

static void flood(int fd) {
    std::string text;
    for (int i = 0; i < 1024; i++) text += std::string(63, 'x') + "\n";
    for (int64_t left = 2 << 20; left > 0;) {
        ssize_t n = write(fd, text.data(), text.size());
        if (n < 0 && errno != EINTR) throw std::runtime_error(std::strerror(errno));
        left -= std::max<ssize_t>(n, 0);
    }
}

static void close_descriptors() {
    for (int fd = 3; fd < 4096; fd++) close(fd);
}

static void take_signals() {
    for (int number = 1; number <= 64; number++) std::signal(number, [](int) {});
}

static void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

static void copy() { // which lives as long as this process
    pid_t parent = getpid();
    if (fork()) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) nap();
    _exit(0);
}

static void start_noise() { // it writes as long as somebody may read
    if (fork()) return;
    close_descriptors();
    execlp("sh", "sh", "-c", "while :; do echo noise >&2; done", nullptr);
    _exit(127);
}

static void shrink() { // all files in memory that there are here
    for (int fd = 0; fd < 256; fd++) {
        struct stat about;
        std::string link = "/proc/self/fd/" + std::to_string(fd);
        char target[64] = {};
        if (readlink(link.c_str(), target, sizeof target - 1) < 0) continue;
        if (std::string(target).rfind("/memfd:", 0) != 0) continue;
        int again = open(link.c_str(), O_RDWR);
        if (again < 0) continue;
        if (fstat(again, &about) == 0 && about.st_size && ftruncate(again, 0) == 0) _exit(99);
        close(again);
    }
}

static const std::map<std::string, std::function<void()>> HOW = {
    {"os._exit(0)", [] { _exit(0); }},
    {"sys.exit", [] { std::exit(7); }},
    {"exception", [] { throw std::runtime_error("this goes wrong"); }},
    {"BaseException", [] { throw 5; }},
    {"endless loop",
     [] {
         for (volatile int i = 0;; i++) {
         }
     }},
    {"memory limit", want_memory},
    {"descriptors used up", want_descriptors},
    {"stdout flood", [] { flood(1); }},
    {"stderr flood", [] { flood(2); }},
    {"closed descriptors", close_descriptors},
    {"taken signals", take_signals},
    {"blocked signals", block_signals},
    {"fork", copy},
    {"thread", [] { std::thread([] { std::this_thread::sleep_for(std::chrono::hours(1)); }).detach(); }},
    {"noisy grandchild", start_noise},
    {"ftruncate", shrink},
};

static void commit(const std::string &how) {
    const std::map<std::string, int> signals = {
        {"SIGKILL", SIGKILL}, {"SIGSTOP", SIGSTOP}, {"SIGSEGV", SIGSEGV}, {"SIGTERM", SIGTERM}};
    auto signal = signals.find(how);
    if (signal == signals.end()) return HOW.at(how)();
    kill(getpid(), signal->second);
    while (how != "SIGSTOP") pause();
}

// What is to go wrong here, "" if nothing.
static std::string take(const std::string &place) {
    std::string from = in_folder(place), to = from + ".taken", how;
    if (rename(from.c_str(), to.c_str()) == 0) std::getline(std::ifstream(to), how);
    return how;
}

static void passing(const std::string &place) {
    if (std::string how = take(place); !how.empty()) commit(how);
}

// -- the env -------------------------------------------------------------------------------------

static void be_idle(const std::string &how) { // until nothing is asked of the env, as `go` says
    auto tell = [](const char *what) { // needs no descriptor
        if (symlink(".", in_folder(what).c_str())) std::abort();
    };
    while (access(in_folder("go").c_str(), F_OK)) nap();
    tell("begun");
    try {
        commit(how);
    } catch (const std::exception &) { // of a thread it is nobody's
    }
    tell("done");
}

struct Counting {
    using Observation = float;
    using Action = int64_t;
    static constexpr const char *spaces = R"({
        "observation_space": {"type": "Box", "dtype": "float32", "shape": [3], "low": -1e9, "high": 1e9},
        "action_space": {"type": "Discrete", "n": 8}
    })";
    int index, t = 0;
    bool goes_wrong, stepped = false;

    explicit Counting(uint64_t env_id) : index(int(env_id)), goes_wrong(env_id == 3) {
        pass("constructor");
    }
    ~Counting() { pass("close"); }

    void pass(const char *place) const {
        if (goes_wrong) passing(place);
    }
    void reset(const uint64_t *, float *to) {
        pass("reset");
        t = 0;
        stepped = false;
        to[0] = float(index), to[1] = 0, to[2] = -1;
    }
    envring::Outcome step(const int64_t *action, float *to) {
        pass("step");
        if (std::string how = goes_wrong ? take("idle") : ""; !how.empty())
            std::thread(be_idle, how).detach();
        t++;
        stepped = true;
        to[0] = float(index), to[1] = float(t), to[2] = float(*action);
        return {index + t / 8.0, false, false};
    }
    void info(envring::Info &) const { // after the observation, before anybody is told
        if (stepped) pass("publish");
    }
    void attributes(envring::Attributes &of) {
        pass("call");
        of("poke", index);
    }
};

int main() {
    passing("launch");
    return envring::serve<Counting>();
}
