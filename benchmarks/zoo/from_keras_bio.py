"""Models of sequences of amino acids and of nucleotides from keras-bio; one function each."""

from keras_bio import dna, protein, structure
from keras_bio.structure.esmfold.config import FoldingTrunkConfig, StructureModuleConfig

from benchmarks.zoo.example import BATCH, TIME, Example, Tensor, integers, padding

RESIDUES = Tensor((BATCH, TIME), lambda shape: 4 + integers(20)(shape))


def bio_esm2() -> Example:
    """Predicts masked amino acids, with rotary positions."""
    config = protein.ESM2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    return Example(
        protein.ESM2ForMaskedLM(config), (RESIDUES,), {"attention_mask": Tensor((BATCH, TIME), padding())}
    )


def bio_hyena() -> Example:
    """Long convolutions by Fourier transforms, with filters that are networks."""
    config = dna.HyenaDNAConfig(d_model=8, n_layer=2, d_inner=16, max_seq_len=256, filter_order=6)
    return Example(dna.HyenaDNAForCausalLM(config), (Tensor((BATCH, TIME), integers(8)),))


def bio_esm_fold() -> Example:
    """Folds eight amino acids: triangular attention, then points in space that are moved as rigid bodies."""
    module = StructureModuleConfig(
        sequence_dim=8, pairwise_dim=8, ipa_dim=4, num_heads_ipa=2, num_blocks=1, resnet_dim=8
    )
    trunk = FoldingTrunkConfig(
        num_blocks=1,
        sequence_state_dim=8,
        pairwise_state_dim=8,
        sequence_head_width=4,
        pairwise_head_width=4,
        position_bins=4,
        max_recycles=1,
        structure_module=module,
    )
    config = structure.ESMFoldConfig(
        esm_hidden_size=8,
        esm_num_layers=1,
        esm_num_heads=2,
        esm_intermediate_size=16,
        trunk=trunk,
        lddt_head_hid_dim=8,
        distogram_bins=4,
        lddt_bins=5,
    )
    return Example(structure.ESMFoldModel(config), (Tensor((BATCH, 8), integers(20)),))
