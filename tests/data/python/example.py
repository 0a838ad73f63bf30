"""The layers and the decoder of the VAE of pytorch/examples, under its names."""
import torch
from torch import nn


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        for name, inputs, outputs in [
            ("fc1", 784, 400), ("fc21", 400, 20), ("fc22", 400, 20), ("fc3", 20, 400), ("fc4", 400, 784),
        ]:
            setattr(self, name, nn.Linear(inputs, outputs))

    def decode(self, z):
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z))))
