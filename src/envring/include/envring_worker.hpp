// SPDX-License-Identifier: MIT
// A worker of envring in C++: serves envs through libenvring.so, without Python.
//
// An env is a class with these, as in examples/workers/cartpole.cpp:
//
//     using Observation = float;              // of one Box; Action likewise, of a Box or Discrete
//     using Action = int64_t;
//     static constexpr const char *spaces;    // JSON, see docs/interpreters.md
//     explicit Env(uint64_t env_id);
//     void reset(const uint64_t *seed, Observation *to);      // seed: NULL if there is none
//     envring::Outcome step(const Action *action, Observation *to);
//
// and, if it likes, with these:
//
//     void info(envring::Info &to) const;              // after reset and step: to("lives", lives)
//     void attributes(envring::Attributes &of);        // for call and set_attr: of("mass", mass)
//
// and main is `return envring::serve<Env>();`. What an env throws becomes a RemoteEnvError. Infos and
// attributes are numbers (int, double, bool); reset's options are ignored. A program that is started
// again, or replaced, tells what became of the episodes by itself: docs/faults.md.
#pragma once
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace envring {

struct Outcome {
    double reward;
    bool terminated, truncated;
};

// -- values: docs/codec.md ---------------------------------------------------------------------

inline std::string number(int32_t value, char type = 'i') {
    return type + std::string(reinterpret_cast<char *>(&value), 4);
}
inline std::string text(std::string_view value) {
    return number(int32_t(value.size()), 'u').append(value);
}
inline std::string tuple(const std::vector<std::string> &items) {
    std::string all = number(int32_t(items.size()), '(');
    for (auto &item : items) all += item;
    return all;
}
inline std::string plain(bool value) { return value ? "T" : "F"; }
inline std::string plain(double value) {
    return 'g' + std::string(reinterpret_cast<char *>(&value), 8);
}
inline std::string plain(int64_t value) {
    if (value == int32_t(value)) return number(int32_t(value));
    std::string digits; // of 15 bits
    for (uint64_t left = value < 0 ? 0 - uint64_t(value) : uint64_t(value); left; left >>= 15)
        digits += std::string{char(left), char(left >> 8 & 0x7f)};
    int32_t count = int32_t(digits.size() / 2);
    return number(value < 0 ? -count : count, 'l') + digits;
}
inline std::string bytes(std::string_view value) {
    return number(int32_t(value.size()), 's').append(value);
}
inline const std::string NONE = "N", TRUE = "T", FALSE = "F", NO_DICT = "{0";
inline const std::string NO_LIST = number(0, '[');

// A value that was read: `items` are those of a list or tuple, or keys and values by turns.
struct Value {
    char type = 'N';
    int64_t integer = 0;
    double real = 0;
    std::string bytes;
    std::vector<Value> items;

    const Value *find(std::string_view key) const { // in a dict; NULL: it is not there
        for (size_t i = 0; i + 1 < items.size(); i += 2)
            if (items[i].bytes == key) return &items[i + 1];
        return nullptr;
    }
    const Value &operator[](std::string_view key) const {
        if (auto found = find(key)) return *found;
        throw std::runtime_error("the caller did not send " + std::string(key));
    }
};

struct Reader {
    std::string_view data;

    std::string_view take(size_t count) {
        if (count > data.size()) throw std::runtime_error("a value ends too early");
        auto taken = data.substr(0, count);
        data.remove_prefix(count);
        return taken;
    }
    template <class T> T raw() {
        T found;
        std::memcpy(&found, take(sizeof found).data(), sizeof found);
        return found;
    }
    Value value() {
        Value found;
        switch (found.type = raw<char>()) {
        case 'N': break;
        case 'T': case 'F': found.integer = found.type == 'T'; break;
        case 'i': found.integer = raw<int32_t>(); break;
        case 'g': found.real = raw<double>(); break;
        case 'u': case 's': found.bytes = take(size_t(raw<int32_t>())); break;
        case '(': case '[':
            for (int32_t left = raw<int32_t>(); left > 0; left--) found.items.push_back(value());
            break;
        case '{':
            while (data.substr(0, 1) != "0") found.items.push_back(value());
            take(1);
            break;
        case 'l': { // an int of any size: digits of 15 bits
            int32_t count = raw<int32_t>();
            uint64_t sum = 0;
            for (int i = 0; i < std::abs(count); i++) sum |= uint64_t(raw<uint16_t>()) << 15 * i;
            found.integer = count < 0 ? -int64_t(sum) : int64_t(sum);
            break;
        }
        default: throw std::runtime_error("this worker does not know such values");
        }
        if (found.type != 'g') found.real = double(found.integer);
        return found;
    }
};

// -- what an env tells of itself -----------------------------------------------------------------

template <class T> using Kind = std::conditional_t<std::is_same_v<T, bool>, bool,
                                std::conditional_t<std::is_integral_v<T>, int64_t, double>>;

// An info: keys and numbers, in order. The keys are literals, or outlive it.
class Info {
  public:
    struct Entry {
        char code; // as in templates: f, i, b
        std::string_view key;
        int64_t integer;
        double real;
    };
    std::vector<Entry> entries;

    template <class T> void operator()(const char *key, T value) {
        static_assert(std::is_arithmetic_v<T>, "an info's values are numbers");
        char code = std::is_same_v<T, bool> ? 'b' : std::is_integral_v<T> ? 'i' : 'f';
        entries.push_back({code, key, int64_t(value), double(value)});
    }
    void read(const Value &dict) {
        for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
            const Value &value = dict.items[i + 1];
            char code = value.type == 'g' ? 'f' : std::strchr("TF", value.type) ? 'b' : 'i';
            entries.push_back({code, dict.items[i].bytes, value.integer, value.real});
        }
    }
    std::string packed() const {
        std::string all;
        for (auto &each : entries) {
            all += text(each.key);
            all += each.code == 'f' ? plain(each.real)
                   : each.code == 'i' ? plain(each.integer) : plain(each.integer != 0);
        }
        return all;
    }
};

// Finds an attribute by its name, and sets it if there is a value for it.
class Attributes {
  public:
    bool found = false;
    std::string value; // packed

    explicit Attributes(std::string_view name, const Value *to = nullptr) : name_(name), to_(to) {}

    template <class T> void operator()(std::string_view name, T &field) {
        if (name != name_) return;
        found = true;
        if (to_) {
            bool real = to_->type == 'g';
            if (!std::strchr("iglTF", to_->type) || (real && !std::is_floating_point_v<T>))
                throw std::runtime_error("not a number that " + std::string(name) + " can be");
            field = real ? T(to_->real) : T(to_->integer);
        }
        value = plain(Kind<T>(field));
    }

  private:
    std::string_view name_;
    const Value *to_;
};

template <class Env, class = void> struct Tells : std::false_type {};
template <class Env>
struct Tells<Env, std::void_t<decltype(std::declval<const Env &>().info(std::declval<Info &>()))>>
    : std::true_type {};
template <class Env, class = void> struct Has : std::false_type {};
template <class Env>
struct Has<Env, std::void_t<decltype(std::declval<Env &>().attributes(std::declval<Attributes &>()))>>
    : std::true_type {};

// A shape of infos that has columns in shared memory: docs/architecture.md.
struct Template {
    struct Column {
        char code;
        std::string key;
        uint64_t offset;
    };
    uint16_t id = 0;
    bool known = true, final = false; // known: of what is here; final: with final_obs and final_info
    std::vector<Column> columns, inner;

    explicit Template(const Value &told) : id(uint16_t(told.items.at(0).integer)) {
        read(told.items.at(1), columns);
    }
    static bool fit(const std::vector<Column> &columns, const Info &info) {
        size_t count = columns.size(), i = 0;
        if (count != info.entries.size()) return false;
        while (i < count && columns[i].code == info.entries[i].code &&
               columns[i].key == info.entries[i].key)
            i++;
        return i == count;
    }

  private:
    void read(const Value &entries, std::vector<Column> &to) {
        for (size_t i = 0; i < entries.items.size(); i++) {
            auto &entry = entries.items[i].items;
            const std::string &code = entry.at(0).bytes, &key = entry.at(1).bytes;
            bool top = &to == &columns;
            if (code == "f" || code == "i" || code == "b")
                to.push_back({code[0], key, uint64_t(entry.at(2).integer)});
            else if (top && i == 0 && code == "F") final = true;
            else if (top && i == 1 && final && code == "d" && key == "final_info")
                read(entry.at(2), inner);
            else known = false;
        }
    }
};

// -- restarts: docs/faults.md ----------------------------------------------------------------------

// What is owed to the caller for an env of the worker in whose place this one is.
struct Owed {
    bool untold = false; // that there was another worker
    bool ends = false;   // the next step is the end of the episode that was lost
    Value result;        // what that step returns, if the other worker has left after it
    Value seed;          // of the first reset; None: none
};

// When a worker is to be replaced: after so many episodes or steps, when no env is in one. An env is
// counted when its next episode would begin. Overdue, it leaves when one of them is at its end.
struct Retiring {
    uint64_t most_episodes = 0, most_steps = 0; // 0: no limit
    uint64_t episodes = 0, steps_before = 0;
    std::vector<char> begun; // by env; empty: the worker stays
    bool hinted = false;

    explicit operator bool() const { return !begun.empty(); }

    // How often it has become due; `more`: episodes that have ended and are not counted yet.
    uint64_t due(uint64_t more, uint64_t steps) const {
        uint64_t by_episodes = most_episodes ? (episodes + more) / most_episodes : 0;
        return std::max(by_episodes, most_steps ? steps / most_steps : 0);
    }
    // Whether it may be due after the next episode of each env.
    bool soon(uint64_t steps) const {
        uint64_t then = episodes + begun.size();
        if (most_episodes && then >= most_episodes) return true;
        return most_steps && (double(steps) >= 0.9 * double(most_steps) ||
                              (episodes && steps * then >= most_steps * episodes));
    }
};

struct Retired { // thrown: the worker leaves
    std::string ends; // a dict: what its envs' last steps returned, which nobody was told
};

// What was caught says of itself; envs may throw anything.
inline std::string what() {
    try {
        throw;
    } catch (const Retired &) {
        throw;
    } catch (const std::exception &error) {
        return error.what();
    } catch (...) {
        return "what was thrown is no std::exception";
    }
}

// -- the channel ---------------------------------------------------------------------------------

class Channel {
  public:
    Channel() : fd_(fcntl(0, F_DUPFD_CLOEXEC, 3)) { // what the env prints must not get in there
        int nothing = open("/dev/null", O_RDWR);
        dup2(nothing, 0);
        dup2(2, 1);
        if (nothing > 2) close(nothing);
        write(std::string("\0envring-worker 1\n", 18));
    }
    void send(const std::vector<std::string> &message) {
        std::string body = tuple(message);
        uint64_t length = body.size();
        write(std::string(reinterpret_cast<char *>(&length), 8) + body);
    }
    bool closed() {
        pollfd asked{fd_, POLLRDHUP, 0};
        return poll(&asked, 1, 0) > 0;
    }
    Value receive() {
        uint64_t length;
        std::memcpy(&length, read(8).data(), 8);
        std::string body = read(length);
        return Reader{body}.value();
    }

  private:
    int fd_;

    void write(std::string_view data) {
        while (!data.empty()) {
            ssize_t n = ::write(fd_, data.data(), data.size());
            if (n < 0 && errno != EINTR) _exit(0); // the caller is gone
            if (n > 0) data.remove_prefix(size_t(n));
        }
    }
    std::string read(size_t count) {
        std::string data(count, '\0');
        for (size_t at = 0; at < count;) {
            ssize_t n = ::read(fd_, &data[at], count - at);
            if (n == 0 || (n < 0 && errno != EINTR)) _exit(0);
            if (n > 0) at += size_t(n);
        }
        return data;
    }
};

// -- the library: csrc/er_worker.h, csrc/er_format.h -----------------------------------------------

struct Command {
    uint32_t op, seq, slot, action, first, count;
};
enum Op { STEP = 1, MESSAGE = 2, EACH = 3, TOGETHER = 4 };
enum Actions : uint32_t { SLAB = 0, BY_MESSAGE = 1, RESET = 2 };

class Library {
    void *handle_; // first: what follows is looked up in it

    struct Symbol {
        void *at;
        template <class Function> operator Function *() const {
            return reinterpret_cast<Function *>(at);
        }
    };
    Symbol symbol(const char *name) {
        if (void *at = dlsym(handle_, name)) return {at};
        throw std::runtime_error(std::string("the library lacks ") + name);
    }
    static void *opened(const std::string &path) {
        if (void *handle = dlopen(path.c_str(), RTLD_NOW)) return handle;
        throw std::runtime_error(dlerror());
    }

  public:
    explicit Library(const std::string &path) : handle_(opened(path)) {}

    int (*const lifeline_watch)(int, int64_t) = symbol("er_lifeline_watch");
    int (*const stderr_capture)(int, int, int) = symbol("er_stderr_capture");
    int (*const segment_check)(const void *, uint64_t) = symbol("er_segment_check");
    uint64_t (*const port_bytes)() = symbol("er_port_bytes");
    int (*const port_open)(void *, void *, uint32_t, uint32_t, uint32_t, double, int,
                           uint32_t) = symbol("er_port_open");
    uint64_t (*const port_env_steps)(const void *) = symbol("er_port_env_steps");
    int (*const port_next)(void *, int64_t) = symbol("er_port_next");
    const Command *(*const port_command)(const void *) = symbol("er_port_command");
    int (*const port_env)(const void *) = symbol("er_port_env");
    void (*const port_count_since)(void *, uint64_t) = symbol("er_port_count_since");
    void (*const port_hint)(void *, uint32_t) = symbol("er_port_hint");
    int (*const port_finish)(void *, uint32_t, const void *, uint64_t) = symbol("er_port_finish");
};

// -- the worker ------------------------------------------------------------------------------------

template <class Env> class Worker {
    using Observation = typename Env::Observation;
    using Action = typename Env::Action;

  public:
    int run() {
        signal(SIGINT, SIG_IGN); // Ctrl-C is the caller's
        utsname machine;
        uname(&machine);
        channel_.send({text("hello"), "{" + text("version") + text("0") + text("implementation") +
                                          text("c++") + text("python2") + FALSE + text("machine") +
                                          text(machine.machine) + text("pid") + number(getpid()) +
                                          text("executable") + text("") + "0"});
        config_ = channel_.receive().items.at(1);
        try {
            start();
        } catch (...) {
            const char *kind = building_ < 0 ? "worker" : "env";
            channel_.send({text("failed"), number(building_), text(kind), text(what()), text("")});
            return 1;
        }
        try {
            while (next()) {
            }
        } catch (const Retired &leaving) {
            channel_.send({text("retired"), leaving.ends});
        } catch (...) { // the caller learns of it as of any death
            std::fprintf(stderr, "%s\n", what().c_str());
            return 1;
        }
        return 0;
    }

  private:
    Channel channel_;
    Value config_, message_;
    std::map<uint64_t, Value> actions_, resets_; // of envs that are sent alone
    std::unique_ptr<Library> library_;
    std::deque<Env> envs_; // which are never moved
    std::vector<Owed> owed_;
    Retiring retiring_;
    std::vector<char> pending_, port_;
    std::vector<std::vector<Observation>> last_;
    std::vector<Template> templates_;
    std::string failures_, odd_; // odd: infos that have no template
    int32_t failed_ = 0, building_ = -1; // building: the env whose constructor runs
    uint8_t *base_ = nullptr;
    uint64_t first_ = 0, num_envs_ = 0, row_ = 1, action_row_ = 1, at_[8] = {};
    uint64_t finals_ = 0, marks_ = 0, infos_ = 0; // where they begin
    bool resets_next_ = true, resets_same_ = false;

    void start() {
        if (const Value &cpu = config_["cpu"]; cpu.type != 'N') run_on(size_t(cpu.integer));
        library_ = std::make_unique<Library>(config_["library"].bytes);
        int lifeline = int(config_["lifeline_fd"].integer);
        int64_t grace = int64_t(config_["grace"].real * 1e9);
        if (lifeline >= 0)
            std::thread([this, lifeline, grace] {
                library_->lifeline_watch(lifeline, grace);
            }).detach();
        const Value &pipes = config_["stderr"];
        if (pipes.type == '{') { // what is written to stderr is passed on, and its end kept
            int from = int(pipes["read"].integer), to = int(pipes["pass_on"].integer);
            int kept = int(pipes["tail"].integer);
            std::thread([=] { library_->stderr_capture(from, to, kept); }).detach();
        }
        int64_t mode = config_["autoreset_mode"].integer; // NextStep, SameStep, Disabled
        resets_next_ = mode == 0;
        resets_same_ = mode == 1;
        first_ = uint64_t(config_["first_env"].integer);
        for (int64_t i = 0; i < config_["num_envs"].integer; i++) {
            building_ = int32_t(first_ + uint64_t(i));
            envs_.emplace_back(first_ + uint64_t(i));
        }
        building_ = -1;
        channel_.send({text("ready"), "{" + text("spaces_json") + text(Env::spaces) + text("native") +
                                          TRUE + text("why_not_native") + text("") +
                                          text("restarts") + TRUE + "0"});
        Value attach = channel_.receive();
        if (attach.items.at(0).bytes != "attach") _exit(0); // another worker failed
        map(attach.items.at(1), attach.items.at(2));
        channel_.send({text("attached")});
    }

    static void run_on(size_t cpu) { // before there are threads, which inherit it
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(cpu, &only);
        sched_setaffinity(0, sizeof only, &only); // where it fails, that costs only speed
    }

    void map(const Value &layout, const Value &plans) {
        first_ = uint64_t(plans["first_env"].integer);
        num_envs_ = uint64_t(layout["num_envs"].integer);
        size_t bytes = size_t(layout["bytes"].integer);
        const Value &path = layout["path"]; // where descriptors cannot be passed on
        int fd = path.type == 'N' ? int(layout["fd"].integer) : open(path.bytes.c_str(), O_RDWR);
        void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) throw std::runtime_error("the segment cannot be mapped");
        close(fd);
        base_ = static_cast<uint8_t *>(at);
        if (library_->segment_check(at, uint64_t(bytes)) < 0)
            throw std::runtime_error("it is not a segment of this version");
        const Value &leaves = layout["obs_leaves"];
        if (leaves.items.size() != 1) throw std::runtime_error("observations are one array");
        row_ = per_env(leaves.items[0].items.at(1));
        at_[0] = uint64_t(leaves.items[0].items.at(0).integer);
        for (size_t i = 0; i < 3; i++)
            at_[1 + i] = uint64_t(layout["outcomes"].items.at(i).items.at(0).integer);
        const char *names[] = {"off_slots", "slot_bytes", "off_actions", "off_template_ids"};
        for (size_t i = 0; i < 4; i++) at_[4 + i] = uint64_t(layout[names[i]].integer);
        marks_ = uint64_t(layout["off_final_marks"].integer);
        infos_ = uint64_t(layout["off_infos"].integer);
        finals_ = uint64_t(layout["off_final"].integer);
        finals_ += uint64_t(layout["final_leaves"].items.at(0).items.at(0).integer);
        const Value &shape = plans["action"].items.at(3);
        for (auto &size : shape.items) action_row_ *= uint64_t(size.integer);
        port_.resize(library_->port_bytes());
        pending_.assign(envs_.size(), 0);
        last_.assign(envs_.size(), std::vector<Observation>(row_));
        int r = library_->port_open(port(), at, uint32_t(config_["index"].integer),
                                    uint32_t(first_), uint32_t(envs_.size()), config_["spin"].real,
                                    int(config_["adaptive"].integer),
                                    uint32_t(config_["yield_every"].integer));
        if (r < 0) throw std::runtime_error("the segment has no place for this worker");
        owed_.resize(envs_.size());
        if (auto lost = plans.find("lost")) take_place(*lost);
        if (auto every = plans.find("every"); every && every->type != 'N') {
            retiring_.most_episodes = uint64_t((*every)["episodes"].integer); // None: 0
            retiring_.most_steps = uint64_t((*every)["steps"].integer);
            retiring_.steps_before = library_->port_env_steps(port());
            retiring_.begun.assign(envs_.size(), 0);
        }
        if (auto known = plans.find("templates")) learn(*known);
    }

    // Takes the place of a worker that died, or has left: what it owes is told by env id.
    void take_place(const Value &lost) {
        auto mine = [&](const char *key, auto take) {
            const Value &given = lost[key];
            for (size_t k = 0; k < given.items.size(); k += given.type == '{' ? 2 : 1) {
                uint64_t i = uint64_t(given.items[k].integer) - first_;
                if (i < envs_.size()) take(i, given.items[given.type == '{' ? k + 1 : k]);
            }
        };
        for (auto &each : owed_) each.untold = true;
        mine("obs", [&](uint64_t i, const Value &array) {
            fill(i, array.items.at(array.items.size() - 1).bytes);
            owed_[i].ends = true;
        });
        mine("seeds", [&](uint64_t i, const Value &seed) { owed_[i].seed = seed; });
        mine("pending", [&](uint64_t i, const Value &) {
            pending_[i] = 1;
            owed_[i].ends = false;
        });
        mine("ends", [&](uint64_t i, const Value &packed) {
            owed_[i].result = Reader{packed.bytes}.value();
            owed_[i].ends = true;
        });
    }
    void fill(uint64_t i, std::string_view observation) {
        if (observation.size() != row_ * sizeof(Observation))
            throw std::runtime_error("the last observation is none of these envs'");
        std::memcpy(last_[i].data(), observation.data(), observation.size());
    }
    void learn(const Value &told) {
        for (auto &each : told.items)
            if (Template read(each); read.known) templates_.push_back(read);
    }

    static uint64_t per_env(const Value &shape) {
        uint64_t count = 1;
        for (size_t i = 1; i < shape.items.size(); i++) count *= uint64_t(shape.items[i].integer);
        return count;
    }
    void *port() { return port_.data(); }

    // -- commands ------------------------------------------------------------------------------

    bool next() { // false: the end
        int r = library_->port_next(port(), int64_t(250000000));
        if (r < 0) return !channel_.closed(); // nothing came
        const Command &command = *library_->port_command(port());
        if (command.op == MESSAGE) return message(command.seq);
        if (command.op == STEP) {
            for (uint64_t i = 0; i < envs_.size(); i++) step(i, command.slot, command.action);
            count(command, envs_.size());
            finish(command.seq);
        }
        for (int i; (command.op == EACH || command.op == TOGETHER) && (i = env_alone()) >= 0;) {
            step(uint64_t(i), command.slot, command.action);
            count(command, 1);
            finish(command.seq);
        }
        return true;
    }
    int env_alone() { return library_->port_env(port()); } // -1: not of some envs
    void count(const Command &command, uint64_t steps) {
        if (command.action == RESET) steps = 0;
        library_->port_count_since(port(), steps);
    }

    bool message(uint32_t seq) {
        Value told = channel_.receive();
        const std::string &name = told.items.at(0).bytes;
        std::string results = NONE;
        if (name == "actions") {
            message_ = told.items.at(1);
        } else if (name == "some_actions" || name == "reset_arguments") {
            auto &kept = name == "some_actions" ? actions_ : resets_;
            const Value &given = told.items.at(1); // by the env's place in the slice
            for (size_t k = 0; k + 1 < given.items.size(); k += 2)
                kept[uint64_t(given.items[k].integer)] = given.items[k + 1];
        } else if (name == "reset") {
            const Value &mask = told.items.at(4);
            all_reset(mask);
            for (uint64_t i = 0; i < envs_.size(); i++) {
                uint32_t slot = uint32_t(told.items.at(1).integer);
                publish(i, slot, {0, false, false});
                if (mask.type == 'N' || is_set(mask, i))
                    reset(i, slot, &told.items.at(2).items.at(i));
                else
                    store(i, slot);
            }
        } else if (name == "templates") {
            learn(told.items.at(1));
        } else if (name == "call" || name == "set_attr") {
            results = number(int32_t(envs_.size()), '[');
            for (uint64_t i = 0; i < envs_.size(); i++) results += attribute(i, told);
            if (name == "set_attr") results = NONE;
        } else if (name == "takes") {
            results = number(int32_t(envs_.size()), '[') + std::string(envs_.size(), 'F');
        } else if (name != "close") {
            for (uint64_t i = 0; i < envs_.size(); i++) fail(i, "an env in C++ cannot " + name);
        }
        if (seq) finish(seq, results);
        return name != "close";
    }

    // What a `call` or `set_attr` of one env gives, packed.
    std::string attribute(uint64_t i, const Value &told) {
        bool setting = told.items.at(0).bytes == "set_attr";
        size_t last = setting ? 3 : 4; // which envs, if not all
        if (told.items.size() > last && told.items[last].type != 'N' && !is_set(told.items[last], i))
            return NONE;
        std::string_view name = told.items.at(1).bytes, question;
        const Value *to = setting ? &told.items.at(2).items.at(i) : nullptr;
        for (auto asks : {"get", "has", "set"}) { // "get:x", or "get_wrapper_attr" of "x"
            if (setting || name.substr(0, 3) != asks) continue;
            auto &given = told.items.at(2).items;
            bool colon = name.size() > 4 && name[3] == ':', method = name.substr(3) == "_wrapper_attr";
            if (!colon && !method) continue;
            question = asks;
            if (question == "set") to = &given.at(method);
            name = colon ? name.substr(4) : std::string_view(given.at(0).bytes);
        }
        if (name == "is_method") return FALSE;
        try {
            Attributes asked(name, to);
            if constexpr (Has<Env>::value) envs_[i].attributes(asked);
            if (question == "has") return plain(asked.found);
            if (asked.found) return setting ? NONE : to ? TRUE : asked.value;
            fail(i, "an env in C++ has no attribute " + std::string(name));
        } catch (...) {
            fail(i, what());
        }
        return NONE;
    }

    static bool is_set(const Value &mask, uint64_t i) { // a list, or an array of bytes
        bool array = mask.items.at(0).bytes == std::string("\0nd", 3);
        return array ? mask.items.at(3).bytes.at(i) : mask.items.at(i).integer;
    }

    void step(uint64_t i, uint32_t slot, uint32_t code) {
        Outcome outcome{0, false, false};
        if (code == RESET || (resets_next_ && pending_[i])) {
            begins(i, code == RESET);
            publish(i, slot, outcome);
            auto kept = resets_.extract(i); // its seed and options
            return reset(i, slot, kept ? &kept.mapped().items.at(0) : nullptr);
        }
        Info told, final;
        bool resets = false;
        *mark(i) = 0;
        try {
            Outcome found = owed_[i].ends ? end_of_lost(i, told) : step_env(i, code, told);
            bool ended = found.terminated || found.truncated;
            resets = ended && resets_same_;
            if (resets) {
                ended_same(i, found, told);
                final = std::exchange(told, {});
                std::memcpy(base_ + finals_ + (first_ + i) * row_ * sizeof(Observation),
                            last_[i].data(), row_ * sizeof(Observation));
                auto kept = resets_.extract(i);
                told = reset_env(i, kept ? &kept.mapped().items.at(0) : nullptr);
                *mark(i) = 1;
            }
            outcome = found;
            pending_[i] = ended && resets_next_;
        } catch (...) {
            fail(i, what());
            publish(i, slot, outcome);
            return store(i, slot);
        }
        publish(i, slot, outcome);
        store(i, slot);
        tell(i, told, resets ? &final : nullptr);
    }
    Outcome step_env(uint64_t i, uint32_t code, Info &told) {
        std::vector<Action> action = read(i, code);
        Outcome found = envs_[i].step(action.data(), last_[i].data());
        told = info(i);
        return found;
    }
    // The end of an episode of the worker that was here before, in the place of a step.
    Outcome end_of_lost(uint64_t i, Info &told) {
        Owed &owed = owed_[i];
        owed.ends = false;
        if (owed.result.type != 'N') {
            auto &items = owed.result.items;
            fill(i, items.at(0).bytes);
            told.read(items.at(4));
            return {items[1].real, bool(items[2].integer), bool(items[3].integer)};
        }
        if (!resets_same_ && std::exchange(owed.untold, false)) told("worker_restarted", true);
        return {0, false, true};
    }

    void reset(uint64_t i, uint32_t slot, const Value *given) {
        *mark(i) = 0;
        store(i, slot); // an empty info, too
        try {
            Info told = reset_env(i, given);
            pending_[i] = 0;
            store(i, slot);
            tell(i, told);
        } catch (...) {
            fail(i, what());
        }
    }
    Info reset_env(uint64_t i, const Value *given) {
        Owed &owed = owed_[i];
        Value kept = std::exchange(owed.seed, {});
        if (!given || given->type == 'N') given = &kept;
        uint64_t seed = uint64_t(given->integer);
        envs_[i].reset(given->type == 'N' ? nullptr : &seed, last_[i].data());
        Info told = info(i);
        if (std::exchange(owed.untold, false)) told("worker_restarted", true);
        owed.ends = false;
        return told;
    }

    // -- leaving between episodes ----------------------------------------------------------------

    // Env i is to begin an episode; `asked`: its caller says so, not the end of the one before.
    void begins(uint64_t i, bool asked) {
        if (asked && env_alone() < 0) { // all are
            if (i == 0) all_reset({});
        } else if (ended(i)) {
            uint64_t others = uint64_t(std::count(pending_.begin(), pending_.end(), 1)) - !asked;
            if (leaves(others == envs_.size() - 1, others)) throw Retired{NO_DICT};
        }
    }
    // All envs are to be reset, or those of the mask.
    void all_reset(const Value &mask) {
        uint64_t reset = 0, had = 0;
        for (uint64_t i = 0; i < envs_.size(); i++)
            if (mask.type == 'N' || is_set(mask, i)) reset++, had += ended(i);
        if (had && leaves(reset == envs_.size())) throw Retired{NO_DICT};
    }
    // A step ended an episode, and another one is to begin in it: the successor tells of that step.
    void ended_same(uint64_t i, const Outcome &found, const Info &told) {
        if (!ended(i) || !leaves(envs_.size() == 1)) return;
        auto at = reinterpret_cast<const char *>(last_[i].data());
        std::string result =
            tuple({bytes({at, row_ * sizeof(Observation)}), plain(found.reward),
                   plain(found.terminated), plain(found.truncated), "{" + told.packed() + "0"});
        throw Retired{"{" + number(int32_t(first_ + i)) + bytes(result) + "0"};
    }
    // Counts an episode of env i; whether there was one, and this is not before its first.
    bool ended(uint64_t i) {
        if (!retiring_) return false;
        bool had = std::exchange(retiring_.begun[i], 1);
        retiring_.episodes += had;
        if (!had) hint();
        return had;
    }
    bool leaves(bool between, uint64_t more = 0) {
        uint64_t due = retiring_.due(more, steps());
        if (due >= 2 || (due && between)) return true;
        hint();
        return false;
    }
    void hint() { // has the caller start another worker, once
        if (retiring_.hinted || !retiring_.soon(steps())) return;
        retiring_.hinted = true;
        library_->port_hint(port(), uint32_t(2));
    }
    uint64_t steps() { return library_->port_env_steps(port()) - retiring_.steps_before; }

    // An env's action: in the slab in the space's dtype, or in another one, or in a message.
    std::vector<Action> read(uint64_t i, uint32_t code) {
        std::vector<Action> action(action_row_);
        const uint8_t *from = base_ + at_[6];
        char kind = char(code >> 8);
        uint64_t size = code & 0xff;
        for (uint64_t k = 0; k < action_row_; k++) {
            uint64_t at = (first_ + i) * action_row_ + k;
            if (code == SLAB) std::memcpy(&action[k], from + at * sizeof(Action), sizeof(Action));
            else if (code == BY_MESSAGE && action_row_ == 1) {
                auto kept = actions_.extract(i);
                const Value &value = kept ? kept.mapped() : message_.items.at(i);
                if (!std::strchr("iglTF", value.type)) throw std::runtime_error("not a number");
                action[k] = value.type == 'g' ? Action(value.real) : Action(value.integer);
            } else action[k] = converted(from + at * size, kind, size);
        }
        return action;
    }
    static Action converted(const uint8_t *from, char kind, uint64_t size) {
        auto as = [from](auto value) { return std::memcpy(&value, from, sizeof value), Action(value); };
        switch (kind << 8 | int(size)) {
        case 'i' << 8 | 1: return as(int8_t());
        case 'i' << 8 | 2: return as(int16_t());
        case 'i' << 8 | 4: return as(int32_t());
        case 'i' << 8 | 8: return as(int64_t());
        case 'b' << 8 | 1: case 'u' << 8 | 1: return as(uint8_t());
        case 'u' << 8 | 2: return as(uint16_t());
        case 'u' << 8 | 4: return as(uint32_t());
        case 'u' << 8 | 8: return as(uint64_t());
        case 'f' << 8 | 4: return as(float());
        case 'f' << 8 | 8: return as(double());
        }
        throw std::runtime_error("actions of this type are not read");
    }

    // -- results -------------------------------------------------------------------------------

    // An array of a slot: that of one step, or of step `slot - first` of those kept over time.
    template <class T> T *place(uint32_t slot, int array, uint64_t per_row, uint64_t env) {
        uint32_t over[2];
        std::memcpy(over, base_ + 168, sizeof over); // er_segment_t: time_first, time_count
        uint64_t count = 1, at = 0;
        if (over[0] && slot >= over[0]) count = over[1], at = slot - over[0], slot = over[0];
        uint8_t *start = base_ + at_[4] + slot * at_[5] + count * at_[array];
        return reinterpret_cast<T *>(start) + (at * num_envs_ + env) * per_row;
    }
    void store(uint64_t i, uint32_t slot) {
        auto *to = place<Observation>(slot, 0, row_, first_ + i);
        std::memcpy(to, last_[i].data(), row_ * sizeof(Observation));
        template_id(i) = 0; // an empty info
    }
    uint16_t &template_id(uint64_t i) {
        return reinterpret_cast<uint16_t *>(base_ + at_[7])[first_ + i];
    }
    uint8_t *mark(uint64_t i) { return base_ + marks_ + first_ + i; } // whether it has a final_obs
    Info info(uint64_t i) {
        Info found;
        if constexpr (Tells<Env>::value) const_cast<const Env &>(envs_[i]).info(found);
        return found;
    }
    // Its info: into columns if there is a template, whole if not. `final`: that of the episode's end.
    void tell(uint64_t i, const Info &info, const Info *final = nullptr) {
        if (info.entries.empty() && !final) return;
        for (auto &each : templates_) {
            if (each.final != bool(final) || !Template::fit(each.columns, info)) continue;
            if (final && !Template::fit(each.inner, *final)) continue;
            write(i, each.columns, info);
            if (final) write(i, each.inner, *final);
            template_id(i) = each.id;
            return;
        }
        template_id(i) = 0xffff;
        odd_ += number(int32_t(first_ + i)) + "{";
        if (final) // the caller inserts the observation
            odd_ += text("final_obs") + NONE + text("final_info") + "{" + final->packed() + "0";
        odd_ += info.packed() + "0";
    }
    void write(uint64_t i, const std::vector<Template::Column> &columns, const Info &info) {
        for (size_t k = 0; k < columns.size(); k++) {
            uint8_t *column = base_ + infos_ + columns[k].offset;
            auto &entry = info.entries[k];
            const void *from = entry.code == 'f' ? static_cast<const void *>(&entry.real) : &entry.integer;
            if (entry.code == 'b') column[first_ + i] = entry.integer != 0;
            else std::memcpy(column + (first_ + i) * 8, from, 8);
        }
    }
    void publish(uint64_t i, uint32_t slot, const Outcome &outcome) {
        *place<double>(slot, 1, 1, first_ + i) = outcome.reward;
        *place<uint8_t>(slot, 2, 1, first_ + i) = outcome.terminated;
        *place<uint8_t>(slot, 3, 1, first_ + i) = outcome.truncated;
    }
    void fail(uint64_t i, const std::string &why) {
        failures_ += tuple({number(int32_t(first_ + i)), text("exception"), NONE, text(why), text("")});
        failed_++;
    }
    void finish(uint32_t seq, const std::string &results = NONE) {
        std::string reply;
        if (failed_ || results != NONE || !odd_.empty()) {
            reply = "{" + text("failures") + number(failed_, '[') + failures_;
            for (auto name : {"dynamic", "finals", "objects"}) reply += text(name) + NO_DICT;
            reply += text("odd") + "{" + odd_ + "0" + text("results") + results + "0";
        }
        failures_.clear();
        odd_.clear();
        failed_ = 0;
        const void *bytes = reply.empty() ? nullptr : reply.data();
        library_->port_finish(port(), seq, bytes, uint64_t(reply.size()));
    }
};

template <class Env> int serve() { return Worker<Env>().run(); }

} // namespace envring
