"""The families that are tried: of each the smallest model that timm has. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """A family of architectures.

    Attributes:
        name: as its authors call it.
        backbone: the name of the model that is tried, as ``bench run --backbone`` takes it.
    """

    name: str
    backbone: str


FAMILIES = (
    # plain ViTs: one resolution, all tokens see each other
    Family("ViT", "timm/vit_tiny_patch16_224"),
    Family("ViT, 12 heads (MAE-Lite)", "vit_tiny"),
    Family("ViT, 12 heads, relative positions", "vit_tiny_rpe"),
    Family("DeiT", "timm/deit_tiny_patch16_224"),
    Family("DeiT, distilled", "timm/deit_tiny_distilled_patch16_224"),
    Family("DeiT III", "timm/deit3_small_patch16_224"),
    Family("ViT with registers", "timm/vit_medium_patch16_reg1_gap_256"),
    Family("ViT, patches of 14 (DINOv2)", "timm/vit_small_patch14_dinov2"),
    Family("ViT, patches of 14, registers (DINOv2)", "timm/vit_small_patch14_reg4_dinov2"),
    Family("CLIP", "timm/vit_base_patch32_clip_224"),
    Family("SigLIP", "timm/vit_base_patch16_siglip_224"),
    Family("BEiT", "timm/beit_base_patch16_224"),
    Family("EVA-02", "timm/eva02_tiny_patch14_224"),
    Family("DINOv3", "timm/vit_small_patch16_dinov3"),
    Family("ViT, relative positions (timm)", "timm/vit_relpos_small_patch16_224"),
    Family("ViT, convolutional stem (hybrid)", "timm/vit_tiny_r_s16_p8_224"),
    Family("SAM ViT", "timm/samvit_base_patch16_224"),
    Family("CaiT", "timm/cait_xxs24_224"),
    Family("XCiT", "timm/xcit_nano_12_p16_224"),
    Family("ConViT", "timm/convit_tiny"),
    Family("TNT", "timm/tnt_s_patch16_224"),
    Family("MLP-Mixer", "timm/mixer_s16_224"),
    # hierarchical transformers
    Family("Swin", "timm/swin_tiny_patch4_window7_224"),
    Family("Swin, 48 wide", "swin_lite"),
    Family("Swin V2", "timm/swinv2_tiny_window8_256"),
    Family("Hiera", "timm/hiera_tiny_224"),
    Family("Hiera, 46 wide", "hiera_lite"),
    Family("PVT v2", "timm/pvt_v2_b0"),
    Family("PiT", "timm/pit_ti_224"),
    Family("CrossViT", "timm/crossvit_tiny_240"),
    Family("CoaT", "timm/coat_lite_tiny"),
    Family("Twins", "timm/twins_pcpvt_small"),
    Family("MViT v2", "timm/mvitv2_tiny"),
    Family("DaViT", "timm/davit_tiny"),
    Family("GC ViT", "timm/gcvit_xxtiny"),
    Family("Nest", "timm/nest_tiny"),
    Family("MaxViT", "timm/maxvit_rmlp_pico_rw_256"),
    Family("CoAtNet", "timm/coatnet_pico_rw_224"),
    Family("VOLO", "timm/volo_d1_224"),
    Family("NextViT", "timm/nextvit_small"),
    Family("TinyViT", "timm/tiny_vit_5m_224"),
    # light hybrids of convolution and attention
    Family("LeViT", "timm/levit_128s"),
    Family("EfficientFormer", "timm/efficientformer_l1"),
    Family("EfficientFormer V2", "timm/efficientformerv2_s0"),
    Family("EfficientViT (MIT)", "timm/efficientvit_b0"),
    Family("EfficientViT (MSRA)", "timm/efficientvit_m0"),
    Family("MobileViT", "timm/mobilevit_xxs"),
    Family("MobileViT v2", "timm/mobilevitv2_050"),
    Family("EdgeNeXt", "timm/edgenext_xx_small"),
    Family("FastViT", "timm/fastvit_t8"),
    Family("RepViT", "timm/repvit_m0_9"),
    Family("SHViT", "timm/shvit_s1"),
    Family("SwiftFormer", "timm/swiftformer_xs"),
    Family("PoolFormer", "timm/poolformer_s12"),
    Family("CAFormer", "timm/caformer_s18"),
    # convolutional networks
    Family("ResNet", "timm/resnet18"),
    Family("RegNet", "timm/regnety_002"),
    Family("MobileNet V3", "timm/mobilenetv3_small_050"),
    Family("MobileNet V4", "timm/mobilenetv4_conv_small"),
    Family("EfficientNet", "timm/efficientnet_b0"),
    Family("EfficientNet-Lite", "timm/tf_efficientnet_lite0"),
    Family("GhostNet V2", "timm/ghostnetv2_100"),
    Family("ConvNeXt", "timm/convnext_atto"),
    Family("ConvNeXt V2", "timm/convnextv2_atto"),
    Family("StarNet", "timm/starnet_s1"),
    Family("MambaOut", "timm/mambaout_femto"),
)
