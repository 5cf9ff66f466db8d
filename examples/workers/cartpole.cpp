// SPDX-License-Identifier: MIT
// CartPole-v1 as a worker of its own: no Python steps it. From Python:
//
//     include=$(python -c 'import envring; print(envring.get_include())')
//     g++ -std=c++17 -O2 -I "$include" -o cartpole examples/workers/cartpole.cpp -ldl -pthread
//     cartpole = envring.EnvSource("CartPole-v1", launcher=envring.Program("./cartpole"))
//     envs = envring.RingVectorEnv([cartpole] * 64)
#include <random>

#include "envring_worker.hpp"

struct CartPole {
    using Observation = float;
    using Action = int64_t;
    static constexpr const char *spaces = R"({
        "observation_space": {"type": "Box", "dtype": "float32", "shape": [4],
            "low": [-4.8, null, -0.41887903, null], "high": [4.8, null, 0.41887903, null]},
        "action_space": {"type": "Discrete", "n": 2}
    })";
    double x = 0, v = 0, theta = 0, omega = 0;
    int steps = 0;
    std::mt19937_64 random;

    explicit CartPole(uint64_t env_id) : random(std::random_device()() + env_id) {}

    void reset(const uint64_t *seed, float *to) {
        if (seed) random.seed(*seed);
        std::uniform_real_distribution<double> small(-0.05, 0.05);
        for (double *each : {&x, &v, &theta, &omega}) *each = small(random);
        steps = 0;
        tell(to);
    }

    envring::Outcome step(const int64_t *action, float *to) {
        const double pole = 0.1, total = 1.1, length = 0.5, tau = 0.02;
        if (*action != 0 && *action != 1) throw std::runtime_error("an action is 0 or 1");
        double force = *action ? 10 : -10, sine = std::sin(theta), cosine = std::cos(theta);
        double push = (force + pole * length * omega * omega * sine) / total;
        double turn = (9.8 * sine - cosine * push) / (length * (4.0 / 3 - pole * cosine * cosine / total));
        double pull = push - pole * length * turn * cosine / total;
        x += tau * v, v += tau * pull, theta += tau * omega, omega += tau * turn;
        tell(to);
        bool fallen = std::abs(x) > 2.4 || std::abs(theta) > 12 * 2 * M_PI / 360;
        return {1, fallen, ++steps >= 500};
    }

    void tell(float *to) const {
        const double now[] = {x, v, theta, omega};
        for (int i = 0; i < 4; i++) to[i] = float(now[i]);
    }
};

int main() { return envring::serve<CartPole>(); }
