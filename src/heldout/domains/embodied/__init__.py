"""Multimodal episodes of people and robots: store, simulation, selection, window index, backbone contracts."""
