// SPDX-License-Identifier: MIT
// Plays CartPole-v1 on an env host, without any library. docs/wire.md describes the bytes.
//
//     envring serve CartPole-v1 --listen tcp://127.0.0.1:7777
//     g++ -std=c++17 -o cartpole examples/clients/cartpole.cpp && ./cartpole 127.0.0.1 7777
//
// Prints a line of JSON for the reset and for each of 30 steps. If the host wants a key, it is
// read from the environment variable ENVRING_KEY. For machines with little-endian numbers.
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

enum Kind : uint8_t {
    HELLO = 1, WELCOME = 2, OPEN = 3, OPENED = 4, STEP = 7, MESSAGE = 8, RESULT = 9,
    ALIVE = 11, ERROR = 12, CLOSE = 13, CLOSED = 14,
};
enum Flag : uint8_t { ARRAYS = 1, REPLY = 8 };

// -- values --------------------------------------------------------------------------------------

// Values are written by putting their bytes one behind the other.
std::string number(char type, int32_t value) {
    return type + std::string(reinterpret_cast<char *>(&value), 4);
}
std::string text(const std::string &value) {
    return number('u', int32_t(value.size())) + value;
}
std::string list(const std::vector<std::string> &items) {
    std::string all = number('[', int32_t(items.size()));
    for (auto &item : items) all += item;
    return all;
}
const std::string NONE = "N", FALSE = "F";

// A value that was read: `items` are those of a list or tuple, or keys and values by turns.
struct Value {
    char type = 'N';
    int64_t integer = 0;
    double real = 0;
    std::string bytes;
    std::vector<Value> items;

    const Value *find(std::string_view key) const {
        for (size_t i = 0; i + 1 < items.size(); i += 2)
            if (items[i].bytes == key) return &items[i + 1];
        return nullptr;
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
        case 'N': case 'T': case 'F': break;
        case 'i': found.integer = raw<int32_t>(); break;
        case 'g': found.real = raw<double>(); break;
        case 'u': case 's': found.bytes = take(raw<int32_t>()); break;
        case '(': case '[':
            for (int32_t left = raw<int32_t>(); left > 0; left--) found.items.push_back(value());
            break;
        case '{':
            while (data.substr(0, 1) != "0") found.items.push_back(value());
            take(1);
            break;
        case 'l': {
            int32_t count = raw<int32_t>();
            for (int i = 0; i < std::abs(count); i++)
                found.real += std::ldexp(raw<uint16_t>(), 15 * i);
            if (count < 0) found.real = -found.real;
            break;
        }
        default: throw std::runtime_error("this client does not know such values");
        }
        return found;
    }
};

// -- frames --------------------------------------------------------------------------------------

struct Head {
    uint64_t length;
    uint8_t kind, flags, zeros[6];
    uint64_t number;
};
static_assert(sizeof(Head) == 24);

struct Frame {
    Head head;
    std::string body;
};

class Host {
  public:
    Host(const char *name, const char *port) {
        addrinfo hints{}, *found;
        hints.ai_socktype = SOCK_STREAM;
        if (getaddrinfo(name, port, &hints, &found)) throw std::runtime_error("no such host");
        socket_ = socket(found->ai_family, found->ai_socktype, 0);
        bool connected = connect(socket_, found->ai_addr, found->ai_addrlen) == 0;
        freeaddrinfo(found);
        if (!connected) throw std::runtime_error("the host cannot be reached");
        int on = 1;
        setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~Host() { ::close(socket_); }

    void greet() {
        write(std::string("ENVR\1\0\1\0", 8));
        std::string greeting = read(8);
        uint16_t lowest;
        std::memcpy(&lowest, greeting.data() + 4, 2);
        if (greeting.substr(0, 4) != "ENVR") throw std::runtime_error("this is not an env host");
        if (lowest > 1) throw std::runtime_error("the host speaks newer versions only");
    }

    // Sends a request and returns the answer.
    Frame ask(Kind kind, const std::string &body, Kind answer, uint64_t number = 0) {
        Head head{body.size(), kind, 0, {}, number};
        write(std::string(reinterpret_cast<char *>(&head), sizeof head) + body);
        for (;;) {
            Frame frame;
            std::memcpy(&frame.head, read(sizeof(Head)).data(), sizeof(Head));
            frame.body = read(frame.head.length);
            if (frame.head.kind == ALIVE) continue; // the envs take long
            if (frame.head.kind == ERROR) {
                Value told = Reader{frame.body}.value();
                const Value *why = told.find("text");
                throw std::runtime_error(why ? why->bytes : "the host reports an error");
            }
            if (frame.head.kind == answer && frame.head.number == number) return frame;
            throw std::runtime_error("the host sent what was not asked for");
        }
    }

    // Runs a batch and prints what the envs did.
    void batch(Kind kind, const std::string &body, int num_envs) {
        Frame frame = ask(kind, body, RESULT, ++number_);
        Reader rest{frame.body};
        if (frame.head.flags & ARRAYS) {
            std::printf("{\"observations\": [");
            for (int env = 0; env < num_envs; env++)
                print(rest, env ? ", [" : "[", 4, [](Reader &r) { return double(r.raw<float>()); });
            print(rest, "], \"rewards\": [", num_envs, [](Reader &r) { return r.raw<double>(); });
            auto flag = [](Reader &r) { return double(r.raw<uint8_t>()); };
            print(rest, ", \"terminations\": [", num_envs, flag);
            print(rest, ", \"truncations\": [", num_envs, flag);
            std::printf("}\n");
        }
        if (frame.head.flags & REPLY) {
            Value reply = rest.value();
            if (const Value *failures = reply.find("failures"))
                throw std::runtime_error("an env failed: " + failures->items[0].items[2].bytes);
        }
    }

  private:
    int socket_;
    uint64_t number_ = 0;

    template <class Next> void print(Reader &rest, const char *name, int count, Next next) {
        std::printf("%s", name);
        for (int i = 0; i < count; i++) std::printf("%s%.17g", i ? ", " : "", next(rest));
        std::printf("]");
    }
    void write(std::string_view data) {
        while (!data.empty()) {
            ssize_t sent = send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
            if (sent < 0) throw std::runtime_error("the host is gone");
            data.remove_prefix(size_t(sent));
        }
    }
    std::string read(size_t count) {
        std::string data(count, '\0');
        for (size_t at = 0; at < count;) {
            ssize_t came = recv(socket_, &data[at], count - at, 0);
            if (came <= 0) throw std::runtime_error("the host closed the connection");
            at += size_t(came);
        }
        return data;
    }
};

// -- the game ------------------------------------------------------------------------------------

void play(const char *name, const char *port) {
    const int num_envs = 2;
    Host host(name, port);
    host.greet();
    const char *key = std::getenv("ENVRING_KEY");
    std::string id = std::to_string(std::random_device()()) + std::to_string(std::random_device()());
    std::string hello = "{" + text("client_id") + text(id) + text("key") + (key ? text(key) : NONE) + "0";
    host.ask(HELLO, hello, WELCOME);
    std::string source = "{" + text("env") + text("CartPole-v1") + "0";
    host.ask(OPEN, "{" + text("sources") + list({source, source}) + "0", OPENED);

    std::string seeds = list({number('i', 7), number('i', 8)});
    host.batch(MESSAGE, list({text("reset"), seeds, NONE, NONE, FALSE}), num_envs);
    for (int step = 0; step < 30; step++) {
        std::string actions(4, '\0'); // 0: in the dtype of the action space
        for (int env = 0; env < num_envs; env++) {
            int64_t action = step % 5 > 0;
            actions.append(reinterpret_cast<char *>(&action), sizeof action);
        }
        host.batch(STEP, actions, num_envs);
    }
    host.ask(CLOSE, "", CLOSED);
}

int main(int argc, char **argv) {
    try {
        play(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "7777");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
