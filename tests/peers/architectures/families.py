"""The families of published packages (torchvision, transformers, timm), small: narrow, few layers, small pictures."""

import torch
import torchvision
import transformers as hf
from torch import nn


class Outputs(nn.Module):
    """A model of transformers, with tensors for outputs."""

    def __init__(self, model, *names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, pixel_values):
        out = self.model(pixel_values)
        return tuple(getattr(out, name) for name in self.names)


class Key(nn.Module):
    """A model of torchvision that returns a dictionary."""

    def __init__(self, model, key="out"):
        super().__init__()
        self.model, self.key = model, key

    def forward(self, x):
        return self.model(x)[self.key]


class SsdRaw(nn.Module):
    """SSD without its post-processing: regressions and class scores of all anchors."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, images):
        out = self.head(list(self.backbone(images).values()))
        return out["bbox_regression"], out["cls_logits"].softmax(-1)


class SsdFull(nn.Module):
    """SSD with its boxes decoded and suppressed in the graph."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        out = self.model(list(images))[0]
        return out["boxes"], out["scores"], out["labels"]


def ssdlite():
    return torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5, width_mult=0.25, detections_per_img=20, topk_candidates=50
    )


def detr(model, backbone, **more):
    config = dict(
        backbone_config=backbone, d_model=32, encoder_hidden_dim=32, encoder_in_channels=[16, 24, 32], encoder_ffn_dim=48,
        encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=48, decoder_layers=2, decoder_n_points=4,
        decoder_in_channels=[32, 32, 32], num_queries=12, num_labels=5, hidden_expansion=0.5, initializer_range=0.2, **more,
    )
    return Outputs(model[1](model[0](**config)), "logits", "pred_boxes")


def rt_detr(v2=False, **more):
    backbone = hf.RTDetrResNetConfig(embedding_size=16, hidden_sizes=[16, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage2", "stage3", "stage4"])
    pair = (hf.RTDetrV2Config, hf.RTDetrV2ForObjectDetection) if v2 else (hf.RTDetrConfig, hf.RTDetrForObjectDetection)
    return detr(pair, backbone, **more)


def d_fine(**more):
    backbone = hf.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 16, 16, 24], stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[16, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1], stage_downsample=[False, True, True, True], stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5], stage_numb_of_layers=[2, 2, 2, 2], hidden_sizes=[16, 16, 24, 32], depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"], use_learnable_affine_block=True,
    )
    return detr((hf.DFineConfig, hf.DFineForObjectDetection), backbone, **more)


def rf_detr():
    backbone = dict(model_type="rf_detr_dinov2", hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=96, patch_size=16,
                    num_windows=2, out_indices=[2, 4], layer_norm_eps=1e-6)
    config = hf.RfDetrConfig(backbone_config=backbone, d_model=32, decoder_ffn_dim=48, decoder_layers=2, decoder_n_points=2, decoder_self_attention_heads=4,
                             decoder_cross_attention_heads=4, num_queries=12, num_labels=5, group_detr=2, init_std=0.2)
    return Outputs(hf.RfDetrForObjectDetection(config), "logits", "pred_boxes")


def segformer():
    config = hf.SegformerConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 3, 4], decoder_hidden_size=16, num_labels=5)
    return Outputs(hf.SegformerForSemanticSegmentation(config), "logits")


def dinov2():
    config = hf.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=70, patch_size=14)
    return Outputs(hf.Dinov2Model(config), "last_hidden_state", "pooler_output")


def dinov3():
    config = hf.DINOv3ViTConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16)
    return Outputs(hf.DINOv3ViTModel(config), "last_hidden_state", "pooler_output")


def clip():
    config = hf.CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16, projection_dim=16)
    return Outputs(hf.CLIPVisionModelWithProjection(config), "image_embeds")


def siglip():
    config = hf.SiglipVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16)
    return Outputs(hf.SiglipVisionModel(config), "pooler_output")


def yolos():
    config = hf.YolosConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=[64, 64], patch_size=16, num_detection_tokens=12, num_labels=5)
    return Outputs(hf.YolosForObjectDetection(config), "logits", "pred_boxes")


def resnet():
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, width_per_group=16)


def vit():
    return torchvision.models.VisionTransformer(image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=10)


def swin(v2=False):
    from torchvision.models import swin_transformer as s

    block, merge = (s.SwinTransformerBlockV2, s.PatchMergingV2) if v2 else (s.SwinTransformerBlock, s.PatchMerging)
    return s.SwinTransformer(patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10, block=block, downsample_layer=merge)


def convnext():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    settings = [CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 1), CNBlockConfig(32, 48, 1), CNBlockConfig(48, None, 1)]
    return ConvNeXt(settings, num_classes=10, layer_scale=0.5)


def efficientnet():
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    settings = [MBConvConfig(1, 3, 1, 16, 8, 1), MBConvConfig(4, 3, 2, 8, 16, 2), MBConvConfig(4, 5, 2, 16, 24, 2), MBConvConfig(4, 5, 2, 24, 32, 1)]
    return EfficientNet(settings, dropout=0.0, num_classes=10, last_channel=64)


def mobilenet():
    return torchvision.models.mobilenet_v3_small(weights=None, width_mult=0.35, num_classes=10)


def deeplab():
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    return Key(deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5))


def lraspp():
    return Key(torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5))
