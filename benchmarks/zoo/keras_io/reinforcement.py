"""Agents: what to do, and what it is worth."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Example, Tensor, integers, normal

STATES, ACTIONS, BOUND = 4, 2, 2.0

STATE = Tensor((BATCH, STATES), normal())


class ActorCritic(keras.Model):
    """Probabilities of the actions and the value of the state, from the same features."""

    def __init__(self):
        super().__init__()
        self.common = layers.Dense(8, activation="relu")
        self.actor = layers.Dense(ACTIONS, activation="softmax")
        self.critic = layers.Dense(1)

    def call(self, state):
        common = self.common(state)
        return self.actor(common), self.critic(common)


def kio_actor_critic() -> Example:
    """rl/actor_critic_cartpole."""
    return Example(ActorCritic(), (STATE,))


class ProximalPolicy(keras.Model):
    """The clipped objective as a loss of the model, whose inputs are what was done and what it gave."""

    def __init__(self, clip_ratio=0.2):
        super().__init__()
        self.clip_ratio = clip_ratio
        self.actor, self.critic = self.mlp(ACTIONS), self.mlp(1)
        self.seed_generator = keras.random.SeedGenerator(1337)
        self.divergence = keras.metrics.Mean(name="kl")

    @staticmethod
    def mlp(size):
        return keras.Sequential(
            [layers.Dense(8, activation="tanh"), layers.Dense(8, activation="tanh"), layers.Dense(size)]
        )

    def logprobabilities(self, logits, action):
        return ops.sum(ops.one_hot(action, ACTIONS) * ops.log_softmax(logits), axis=1)

    def call(self, observation, action, advantage, old_logprobability, *, training=False):
        logits, value = self.actor(observation), ops.squeeze(self.critic(observation), axis=1)
        logprobability = self.logprobabilities(logits, action)
        ratio = ops.exp(logprobability - old_logprobability)
        min_advantage = ops.where(
            advantage > 0, (1 + self.clip_ratio) * advantage, (1 - self.clip_ratio) * advantage
        )
        self.add_loss(-ops.mean(ops.minimum(ratio * advantage, min_advantage)))
        self.divergence.update_state(ops.mean(old_logprobability - logprobability))
        sampled = ops.squeeze(keras.random.categorical(logits, 1, seed=self.seed_generator), axis=1)
        return {"action": sampled if training else ops.argmax(logits, axis=-1), "value": value}


def kio_proximal_policy() -> Example:
    """rl/ppo_cartpole."""
    numbers = (Tensor((BATCH,), normal(i)) for i in (1, 2))
    return Example(ProximalPolicy(), (STATE, Tensor((BATCH,), integers(ACTIONS)), *numbers))


class OUActionNoise(layers.Layer):
    """Noise that remembers where it was; a state that is assigned at each call in training."""

    def __init__(self, deviation, theta=0.15, dt=0.1, **kwargs):
        super().__init__(**kwargs)
        self.theta, self.deviation, self.dt = theta, deviation, dt
        self.seed_generator = keras.random.SeedGenerator(7)

    def build(self, shape):
        self.previous = self.add_weight(shape=(1,), initializer="zeros", trainable=False, name="previous")

    def call(self, x, training=False):
        if not training:
            return x
        drift = self.theta * (0.0 - self.previous) * self.dt
        noise = keras.random.normal((1,), seed=self.seed_generator)
        self.previous.assign(self.previous + drift + self.deviation * np.sqrt(self.dt) * noise)
        return x + self.previous


class DDPG(keras.Model):
    """Actor and critic with their targets, and what is to be learned as losses."""

    def __init__(self, gamma=0.99):
        super().__init__()
        self.gamma = gamma
        self.actor_model, self.target_actor = self.actor(), self.actor()
        self.critic_model, self.target_critic = self.critic(), self.critic()
        self.target_actor.trainable = self.target_critic.trainable = False
        self.target_actor.set_weights(self.actor_model.get_weights())
        self.target_critic.set_weights(self.critic_model.get_weights())
        self.noise = OUActionNoise(0.2)

    def actor(self):
        last_init = keras.initializers.RandomUniform(minval=-0.003, maxval=0.003)
        inputs = layers.Input(shape=(STATES,))
        out = layers.Dense(8, activation="relu")(inputs)
        outputs = layers.Dense(1, activation="tanh", kernel_initializer=last_init)(out)
        return keras.Model(inputs, outputs * BOUND)

    def critic(self):
        state, action = layers.Input(shape=(STATES,)), layers.Input(shape=(1,))
        state_out = layers.Dense(4, activation="relu")(layers.Dense(4, activation="relu")(state))
        action_out = layers.Dense(4, activation="relu")(action)
        concat = layers.Concatenate()([state_out, action_out])
        return keras.Model([state, action], layers.Dense(1)(layers.Dense(8, activation="relu")(concat)))

    def call(self, batch, training=False):
        target_actions = self.target_actor(batch["next"], training=True)
        target_value = self.target_critic([batch["next"], target_actions], training=True)
        y = batch["reward"] + self.gamma * ops.stop_gradient(target_value)
        value = self.critic_model([batch["state"], batch["action"]], training=True)
        self.add_loss(ops.mean(ops.square(y - value)))
        actions = self.actor_model(batch["state"], training=True)
        self.add_loss(-ops.mean(self.critic_model([batch["state"], actions])))
        return ops.clip(self.noise(actions, training=training), -BOUND, BOUND)


def kio_ddpg() -> Example:
    """rl/ddpg_pendulum."""
    batch = {
        "state": STATE,
        "action": Tensor((BATCH, 1), normal(1)),
        "reward": Tensor((BATCH, 1), normal(2)),
        "next": Tensor((BATCH, STATES), normal(3)),
    }
    return Example(DDPG(), (batch,))


class DeepQNetwork(keras.Model):
    """Frames come with the channels first; the convolutions want them last."""

    def __init__(self, frames=4):
        super().__init__()
        self.model = keras.Sequential(
            [
                layers.Lambda(lambda x: ops.transpose(x, [0, 2, 3, 1]), output_shape=(20, 20, frames)),
                layers.Conv2D(4, 8, strides=4, activation="relu"),
                layers.Conv2D(4, 2, strides=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(8, activation="relu"),
                layers.Dense(3, activation="linear"),
            ]
        )

    def call(self, frames, action=None):
        q_values = self.model(frames / 255.0)
        if action is None:
            return ops.argmax(q_values, axis=1)
        masked = ops.multiply(q_values, ops.one_hot(action, 3))
        return ops.sum(masked, axis=1)


def kio_deep_q_network() -> Example:
    """rl/deep_q_network_breakout."""
    frames = Tensor((BATCH, 4, 20, 20), lambda shape: integers(256)(shape).astype("float32"))
    return Example(DeepQNetwork(), (frames, Tensor((BATCH,), integers(3))))
