"""Writes checkpoint.pt, which is tests/data/checkpoint.pt by PyTorch 2.15: parameters whose i-th number is (i % 61 - 30) / 16,
in a checkpoint as people keep them, with an optimizer's state, a transposed weight and two types."""

import torch
from torch import nn


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(30, 4)
        self.fc21 = nn.Linear(4, 2)
        self.fc22 = nn.Linear(4, 2)
        self.fc3 = nn.Linear(2, 4)
        self.fc4 = nn.Linear(4, 30)

    def forward(self, x):
        h = self.fc1(x).relu()
        return self.fc4(self.fc3(self.fc21(h) + self.fc22(h)).relu())


torch.manual_seed(0)
model = VAE()
optimizer = torch.optim.Adam(model.parameters())
model(torch.zeros(1, 30)).sum().backward()
optimizer.step()
with torch.no_grad():
    for parameter in model.parameters():
        numbers = (torch.arange(parameter.numel()) % 61 - 30) / 16
        parameter.copy_(numbers.reshape(parameter.shape))
state = model.state_dict()
# The same numbers, in a storage of their transpose.
state["fc1.weight"] = state["fc1.weight"].t().contiguous().t()
state["fc3.weight"] = state["fc3.weight"].half()
state["fc4.bias"] = nn.Parameter(state["fc4.bias"].double())
torch.save(
    {
        "epoch": 3,
        "loss": 0.25,
        "model_state_dict": state,
        "optimizer_state_dict": optimizer.state_dict(),
        "names": ["a", None, True],
    },
    "checkpoint.pt",
)
