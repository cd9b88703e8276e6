"""The objectives of pre-training, one module each; `pretrain/settings.py` names their classes."""
